"""Exported folders of the tiny bundle, and clients of a service around them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from persona.bundle import Bundle, read_bundle, write_export
from persona.service import create_app
from tests.service.asgi import Client
from tests.service.graphs import set_encoder, sketch_encoder
from tests.tiny_bundles import tiny_bundle


@pytest.fixture(scope="session")
def sketch_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sketch")
    write_export(folder, tiny_bundle(), sketch_encoder())
    return folder


@pytest.fixture(scope="session")
def samples_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("samples")
    write_export(folder, replace(tiny_bundle(), context="samples"), set_encoder())
    return folder


@pytest.fixture(scope="session")
def bundle(sketch_folder: Path) -> Bundle:
    return read_bundle(sketch_folder)


@pytest.fixture(scope="session")
def samples_bundle(samples_folder: Path) -> Bundle:
    return read_bundle(samples_folder)


@pytest.fixture
def client(sketch_folder: Path) -> Iterator[Client]:
    with Client(create_app(sketch_folder)) as client:
        yield client


@pytest.fixture
def samples_client(samples_folder: Path) -> Iterator[Client]:
    with Client(create_app(samples_folder)) as client:
        yield client


@pytest.fixture(scope="module")
def sketch_client(sketch_folder: Path) -> Iterator[Client]:
    """One client for all examples of a hypothesis test."""
    with Client(create_app(sketch_folder)) as client:
        yield client
