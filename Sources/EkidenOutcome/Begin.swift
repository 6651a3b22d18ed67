// EkidenOutcome begins here.
