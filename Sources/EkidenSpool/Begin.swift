// EkidenSpool begins here.
