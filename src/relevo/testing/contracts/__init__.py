"""For each contract a class of tests. An adapter's test inherits it and gives the fixture."""
