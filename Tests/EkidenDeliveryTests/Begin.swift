// Tests of EkidenDelivery begin here.
