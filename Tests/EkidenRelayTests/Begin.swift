// Tests of EkidenRelay begin here.
