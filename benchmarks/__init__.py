"""Measurements: outside of the tests, as ratios in one run. Each module is run by `python -m`."""
