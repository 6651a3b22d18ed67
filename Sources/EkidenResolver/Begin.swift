// EkidenResolver begins here.
