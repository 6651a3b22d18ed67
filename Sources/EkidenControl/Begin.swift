// EkidenControl begins here.
