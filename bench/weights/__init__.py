"""Weights of models that were trained elsewhere: where they come from, where they lie, and how their files are read."""
