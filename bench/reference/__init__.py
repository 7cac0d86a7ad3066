"""Reference curves: accuracy by epoch that was measured or published once and holds on every machine."""
