"""The kit for tests of relevo and of what is built on it: simulated machines, faulty adapters, contract suites."""
