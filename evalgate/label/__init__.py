"""Labelling by keyboard: what waits, one trace after the other, and the golden dataset that comes of it."""
