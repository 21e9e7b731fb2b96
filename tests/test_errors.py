"""The tree drawn at the top of errors.py is the tree of its classes."""

from __future__ import annotations

import inspect
import re

from persona import errors


def drawn_parents() -> dict[str, str]:
    """Return child → parent as the module's docstring draws them: four columns a level."""
    parents: dict[str, str] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"((?:│   |    )*(?:├── |└── )?)([A-Z]\w+)(?:\s\s+\S|$)", line)
        if match and (match.group(1) or match.group(2) == "PersonaError"):
            depth = len(match.group(1)) // 4
            path = [*path[:depth], match.group(2)]
            parents[path[-1]] = path[-2] if depth else "Exception"
    return parents


def real_classes() -> dict[str, type]:
    return {name: thing for name, thing in vars(errors).items() if inspect.isclass(thing)}


def test_the_drawn_tree_is_the_real_one() -> None:
    real = {name: thing.__bases__[0].__name__ for name, thing in real_classes().items()}
    assert drawn_parents() == real
    assert len(real) > 10


def test_every_error_has_one_parent_and_says_what_it_is() -> None:
    for name, thing in real_classes().items():
        assert len(thing.__bases__) == 1, name
        assert issubclass(thing, errors.PersonaError), name
        assert (thing.__doc__ or "").strip().endswith("."), name
