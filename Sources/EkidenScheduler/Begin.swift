// EkidenScheduler begins here.
