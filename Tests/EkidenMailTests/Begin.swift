// Tests of EkidenMail begin here.
