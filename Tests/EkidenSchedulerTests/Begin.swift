// Tests of EkidenScheduler begin here.
