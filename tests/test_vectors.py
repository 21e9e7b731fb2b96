"""Golden messages: what this release says is, byte for byte, what every release of wire version 1 said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from persona.wire import VERSION, AdaptReply, AdaptRequest

FOLDER = Path(__file__).parent / "vectors"
WIRE = json.loads((FOLDER / "wire-1.json").read_text())

Message = dict[str, Any]


def messages(kind: str) -> list[Any]:
    return [pytest.param(m, id=m["name"]) for m in WIRE["messages"] if m["kind"] == kind]


def golden(message: Message) -> bytes:
    data = (FOLDER / f"wire-1-{message['name']}.bin").read_bytes()
    assert len(data) == message["size_bytes"]
    return data


@pytest.mark.parametrize("message", messages("request"))
def test_requests_are_written_as_ever(message: Message) -> None:
    values = np.array(message["values"], message["dtype"]).reshape(message["shape"])
    request = AdaptRequest(WIRE["fingerprint"], message["context"], values, message["count"])
    assert request.encode() == golden(message)


@pytest.mark.parametrize("message", messages("request"))
def test_requests_are_read_as_ever(message: Message) -> None:
    request = AdaptRequest.decode(golden(message))
    assert request.fingerprint == WIRE["fingerprint"][:12]
    assert (request.context, request.count) == (message["context"], message["count"])
    assert request.values.dtype == message["dtype"]
    assert list(request.values.shape) == message["shape"]
    assert request.values.ravel().tolist() == np.array(message["values"], message["dtype"]).tolist()


@pytest.mark.parametrize("message", messages("reply"))
def test_replies_are_written_as_ever(message: Message) -> None:
    residual = None if message["residual"] is None else np.array(message["residual"], np.float32)
    reply = AdaptReply(
        WIRE["fingerprint"], message["prototype"], message["bank_version"], message["expires_s"], residual,
        message["code_dtype"] or "float16",
    )  # fmt: skip
    assert reply.encode() == golden(message)


@pytest.mark.parametrize("message", messages("reply"))
def test_replies_are_read_as_ever(message: Message) -> None:
    rows = message["residual"]
    reply = AdaptReply.decode(golden(message), (len(rows), len(rows[0])) if rows else (1, 1))
    assert reply.fingerprint == WIRE["fingerprint"][:12]
    assert (reply.prototype, reply.bank_version) == (message["prototype"], message["bank_version"])
    assert reply.expires_s == message["expires_s"]
    if rows is None:
        assert reply.residual is None
    else:
        assert reply.code_dtype == message["code_dtype"]
        np.testing.assert_array_equal(reply.residual, np.array(rows, np.float32))


def test_every_golden_message_is_described() -> None:
    described = {f"wire-1-{message['name']}.bin" for message in WIRE["messages"]}
    assert described == {path.name for path in FOLDER.glob("wire-1-*.bin")}


def test_a_new_version_brings_new_vectors() -> None:
    assert WIRE["version"] == VERSION
