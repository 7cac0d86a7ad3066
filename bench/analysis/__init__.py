"""Numbers from numbers: pure functions of what was measured."""
