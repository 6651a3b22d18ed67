// EkidenRewriting begins here.
