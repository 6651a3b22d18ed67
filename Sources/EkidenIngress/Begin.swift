// EkidenIngress begins here.
