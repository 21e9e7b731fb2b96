"""What every test shares: how hypothesis draws."""

from __future__ import annotations

from hypothesis import settings

# The same examples in every run, and no deadline: a busy machine is not a bug.
settings.register_profile("persona", derandomize=True, deadline=None, max_examples=60)
settings.load_profile("persona")
