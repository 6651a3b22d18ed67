// EkidenSimulator begins here.
