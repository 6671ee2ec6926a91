<<<<<<< HEAD
"""For each contract a class of tests. An adapter's test inherits it and gives the fixture."""
=======
"""Suites that every adapter of a contract passes: subclass one and give it the fixture it asks for."""
>>>>>>> providers
