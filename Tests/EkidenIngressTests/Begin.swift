// Tests of EkidenIngress begin here.
