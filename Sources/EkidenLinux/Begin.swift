// EkidenLinux begins here.
