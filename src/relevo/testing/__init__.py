<<<<<<< HEAD
"""The kit for tests of relevo and of what is built on it: simulated machines, faulty adapters, contract suites."""
=======
"""What tests of relevo and of its adapters are made of: faulty adapters, contract suites."""
>>>>>>> providers
