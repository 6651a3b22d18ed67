// Tests of EkidenSimulator begin here.
