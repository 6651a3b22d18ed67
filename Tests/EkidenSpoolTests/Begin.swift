// Tests of EkidenSpool begin here.
