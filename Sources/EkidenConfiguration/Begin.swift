// EkidenConfiguration begins here.
