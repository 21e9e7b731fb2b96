"""HTML that escapes by default: only what `tag` or `trusted` made goes in as it is."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def trusted(source: str) -> Markup:
    """Take a source as HTML. For what this package wrote itself, never for a text from the results."""
    return Markup(source)


def tag(name: str, *children: str, **attributes: str) -> Markup:
    """Return an element. Children are escaped unless they are `Markup`; ``class_`` says ``class``."""
    said = "".join(f' {key.rstrip("_").replace("_", "-")}="{html.escape(value)}"' for key, value in attributes.items())
    return Markup(f"<{name}{said}>{join(children)}</{name}>")


def join(parts: Iterable[str]) -> Markup:
    """Return parts one after another, escaped unless they are `Markup`."""
    return Markup("".join(part if isinstance(part, Markup) else html.escape(part) for part in parts))


def table(head: Sequence[str], rows: Iterable[Sequence[str]], class_: str = "") -> Markup:
    """Return a table whose rows begin with what they are about."""
    header = tag("tr", *(tag("th", cell, scope="col") for cell in head))
    body = [tag("tr", tag("th", row[0], scope="row"), *(tag("td", cell) for cell in row[1:])) for row in rows]
    return tag("div", tag("table", tag("thead", header), tag("tbody", *body), class_=class_), class_="scroll")


def bullets(items: Iterable[str]) -> Markup:
    """Return an unnumbered list."""
    return tag("ul", *(tag("li", item) for item in items))
