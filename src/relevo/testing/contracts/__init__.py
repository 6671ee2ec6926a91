"""Suites that every adapter of a contract passes: subclass one and give it the fixture it asks for."""
