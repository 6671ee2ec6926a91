"""Counters, rings and limiters: plain Python, the specification that faster twins must equal."""
