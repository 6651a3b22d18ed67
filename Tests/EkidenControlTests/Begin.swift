// Tests of EkidenControl begin here.
