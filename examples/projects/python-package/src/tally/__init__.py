"""Counts lines that are equal."""

import sys
from collections import Counter


def main() -> None:
    """Print each line of the input once, the most frequent first, with its count."""
    counts = Counter(line.rstrip("\n") for line in sys.stdin)
    for line, count in counts.most_common():
        print(count, line)
