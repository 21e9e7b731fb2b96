"""The vision benchmark: every method of the catalogue on the same shifting streams, with controls and intervals."""
