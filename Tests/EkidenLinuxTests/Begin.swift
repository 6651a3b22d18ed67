// Tests of EkidenLinux begin here.
