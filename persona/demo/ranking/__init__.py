"""Recommendation end to end: a base that has aged, a broadcast and a personal edit, served to device processes."""
