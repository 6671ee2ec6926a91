"""What each contract promises, as tests. An adapter's test subclasses the suite and says how it is opened."""
