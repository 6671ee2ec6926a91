"""Measurements, each beside its baseline in the same run. `make bench`; one file for each part, `bench_<name>.py`."""
