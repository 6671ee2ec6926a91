"""Suites of tests that every adapter of a contract passes: subclass one and give it a fixture that makes the adapter."""
