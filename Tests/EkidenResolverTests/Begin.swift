// Tests of EkidenResolver begin here.
