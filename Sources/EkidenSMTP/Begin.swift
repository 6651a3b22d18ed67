// EkidenSMTP begins here.
