// Tests of EkidenConfiguration begin here.
