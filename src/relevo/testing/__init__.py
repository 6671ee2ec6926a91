"""The kit for tests of relevo and of what is built on it: virtual time, simulated disks, faulty adapters, contract suites."""
