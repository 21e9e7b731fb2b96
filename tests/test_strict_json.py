"""JSON that two readers might read differently is not read at all."""

from __future__ import annotations

import pytest

from persona.strict_json import parse_object


def test_an_object_is_read_as_json_says() -> None:
    assert parse_object('{"a": [1, 2.5, null], "b": {"a": true}}') == {"a": [1, 2.5, None], "b": {"a": True}}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"a": 1, "a": 2}', "twice"),
        ('{"b": {"a": 1, "a": 1}}', "twice"),
        ('{"a": NaN}', "NaN is not a JSON number"),
        ("[1]", "a list where an object"),
        ("{", "Expecting"),
        ('{"a": ' + "[" * 200_000 + "]" * 200_000 + "}", "recursion"),
    ],
)
def test_what_is_not_one_object_is_refused(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_object(text)


def test_fractions_are_refused_where_whole_numbers_are_wanted() -> None:
    assert parse_object('{"a": 3}', whole_numbers=True) == {"a": 3}
    with pytest.raises(ValueError, match=r"3\.5 is not a whole number"):
        parse_object('{"a": 3.5}', whole_numbers=True)
