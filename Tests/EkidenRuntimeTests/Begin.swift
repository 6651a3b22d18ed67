// Tests of EkidenRuntime begin here.
