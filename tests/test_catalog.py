"""Catalogues: names stand for things, and a name that stands for nothing says what there is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from persona.catalog import CATALOG, load, names
from persona.errors import CatalogError

INSTALLED = """\
[persona.tasks]
outsider = json:loads
broken = json:no_such_thing
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install, as far as Python can tell, another distribution that brings tasks."""
    info = tmp_path / "outsiders-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: outsiders\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(INSTALLED)
    monkeypatch.syspath_prepend(str(tmp_path))


def test_every_target_is_a_module_and_an_attribute() -> None:
    for kind, entries in CATALOG.items():
        for name, target in entries.items():
            module, colon, attribute = target.partition(":")
            assert module.startswith("persona."), f"{kind} {name}"
            assert (colon, attribute.isidentifier()) == (":", True), f"{kind} {name}"


def test_anything_importable_can_be_named_in_full() -> None:
    assert load("tasks", "json:loads") is json.loads


def test_names_lists_what_is_built_in() -> None:
    for kind, entries in CATALOG.items():
        assert set(entries) <= set(names(kind))


@pytest.mark.usefixtures("installed")
def test_installed_entries_are_found() -> None:
    assert {"outsider", "broken"} <= set(names("tasks"))
    assert load("tasks", "outsider") is json.loads


@pytest.mark.usefixtures("installed")
def test_a_built_in_name_cannot_be_taken_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CATALOG["tasks"], "outsider", "json:dumps")
    assert names("tasks").count("outsider") == 1
    assert load("tasks", "outsider") is json.dumps


@pytest.mark.usefixtures("installed")
def test_a_broken_entry_says_what_it_stands_for() -> None:
    with pytest.raises(CatalogError, match=r"'broken' of the tasks stands for json:no_such_thing, which cannot"):
        load("tasks", "broken")


def test_an_unknown_name_comes_with_the_known_ones() -> None:
    with pytest.raises(CatalogError, match=r"'visoin' is not among the tasks: .*vision.*or name it as module:Class"):
        load("tasks", "visoin")


def test_an_unknown_kind_comes_with_the_known_ones() -> None:
    with pytest.raises(CatalogError, match=r"no catalogue of 'flavours'; there are .*tasks"):
        names("flavours")


@pytest.mark.parametrize(
    "name", ["no.such.module:Thing", "json:Thing", "json:", ":loads", "json:a:b", ".json:loads", "..:x", "json:loads.x"]
)
def test_what_cannot_be_imported_is_a_catalog_error(name: str) -> None:
    with pytest.raises(CatalogError, match="cannot be imported"):
        load("tasks", name)
