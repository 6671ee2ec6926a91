"""The public test kit: contract suites, faulty adapters, virtual time. Nothing outside tests imports it."""
