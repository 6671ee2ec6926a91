"""What a workflow file means: read, check, expressions, matrix, plan. No I/O but reading files it is told to."""
