"""Logs: lines that machines read, without anything of a device in them."""

from __future__ import annotations

import json
import logging
import sys

import pytest

from persona.bundle import Bundle
from persona.service.logs import JsonLines
from tests.service.asgi import Client
from tests.service.asking import HEADERS, features, sketch_request
from tests.service.graphs import FAILS


def test_a_record_is_one_object_on_one_line() -> None:
    try:
        raise ValueError("two\nlines")
    except ValueError:
        record = logging.LogRecord("a.b", logging.WARNING, "", 0, "said %d", (3,), sys.exc_info())
    record.facts = {"status": 200}
    line = JsonLines().format(record)
    assert "\n" not in line
    found = json.loads(line)
    assert (found["level"], found["logger"], found["message"], found["status"]) == ("warning", "a.b", "said 3", 200)
    assert "ValueError" in found["error"]


def test_no_line_has_a_sketch_or_a_secret(client: Client, bundle: Bundle, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.INFO, "persona.service.requests")
    secret = {**HEADERS, "authorization": "Bearer hunter2", "cookie": "hunter2"}
    value = features(1.2345678, at={FAILS: 13.0})
    for body in (sketch_request(bundle, value), sketch_request(bundle, features(1.2345678)), b"hunter2 in a body"):
        client.post("/v1/adapt", body, secret)
    client.get("/hunter2")
    said = "\n".join(JsonLines().format(record) for record in caplog.records)
    assert "Gather" in said, "the cause is there"
    assert '"path": "/v1/adapt"' in said
    for private in ("hunter2", "1.2345", "13"):
        assert not any(private in json.loads(line)["message"] for line in said.splitlines())
    assert "hunter2" not in said
