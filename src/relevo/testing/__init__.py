"""What tests of relevo and of its adapters are made of: faulty adapters, contract suites."""
