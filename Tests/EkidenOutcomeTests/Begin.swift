// Tests of EkidenOutcome begin here.
