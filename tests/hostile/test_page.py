"""docs/security.md is a claim: every test that it names exists, and it names enough of them."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text()


def defined() -> set[str]:
    """Return the names of all tests of the suite."""
    texts = (path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    return {name for text in texts for name in re.findall(r"^def (test_\w+)\(", text, re.MULTILINE)}


def test_every_test_of_the_page_exists() -> None:
    assert set(re.findall(r"`(test_\w+)`", PAGE)) - defined() == set()


def test_the_list_has_at_least_forty_attacks_each_with_its_test() -> None:
    rows = re.findall(r"^\| ([^*|][^|]*) \| [^|]+ \| (`test_[^|]+`) \|$", PAGE, re.MULTILINE)
    assert len(rows) >= 40
    assert len({name for _, names in rows for name in re.findall(r"`(\w+)`", names)}) >= 40


def test_every_hostile_test_is_on_the_page_or_a_check_of_the_honest_case() -> None:
    """What somebody adds to the files about signatures also goes on the page."""
    names = set()
    for path in ("test_metadata.py", "test_metadata_form.py", "test_replies.py"):
        names |= set(re.findall(r"^def (test_\w+)\(", (ROOT / "tests" / "hostile" / path).read_text(), re.MULTILINE))
    honest = {
        "test_the_honest_server_is_believed",
        "test_the_honest_reply_counts",
        "test_a_device_fetches_a_signed_bundle_and_gets_signed_replies",
        "test_every_request_has_fresh_dice",
        "test_keys_are_fetched_anew_after_a_reply_that_none_of_them_signed",
        "test_a_device_with_another_bundle_than_the_release_is_told_to_fetch_it",
        "test_no_key_no_reply",
    }
    assert names - honest - set(re.findall(r"`(test_\w+)`", PAGE)) == set()
