// Tests of EkidenCrypto begin here.
