// EkidenRelay begins here.
