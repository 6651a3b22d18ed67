// EkidenDelivery begins here.
