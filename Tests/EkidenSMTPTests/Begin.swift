// Tests of EkidenSMTP begin here.
