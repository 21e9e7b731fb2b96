"""Worlds that shift: where support and query samples come from, one folder a world."""
