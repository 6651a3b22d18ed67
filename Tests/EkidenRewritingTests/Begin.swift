// Tests of EkidenRewriting begin here.
