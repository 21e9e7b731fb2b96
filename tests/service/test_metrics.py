"""Metrics: what is counted, who may read it, and that docs, dashboard and alerts name what exists, and all of it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from persona.bundle import Bundle
from persona.service.metrics import NUMBERED, Metrics
from tests.service.asgi import Client
from tests.service.asking import HEADERS, features, sketch_request
from tests.service.graphs import FAILS

ROOT = Path(__file__).resolve().parents[2]
DASHBOARD = json.loads((ROOT / "deploy" / "grafana" / "persona.json").read_text())
ALERTS = yaml.safe_load((ROOT / "deploy" / "prometheus" / "alerts.yaml").read_text())["groups"][0]["rules"]
PAGE = (ROOT / "docs" / "metrics.md").read_text()
NAME = re.compile(r"\b(?:persona|process)_[a-z_]+\b")


def exported() -> set[str]:
    families = Metrics().registry.collect()
    return {f"{one.name}_total" if one.type == "counter" else one.name for one in families}


def named(text: str) -> set[str]:
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in NAME.findall(text)}


def values(client: Client) -> dict[str, float]:
    page = client.get("/metrics").body.decode()
    lines = [line.rsplit(" ", 1) for line in page.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in lines}


def test_dashboard_and_docs_name_every_metric_and_no_other() -> None:
    assert set(re.findall(r"^\| `((?:persona|process)_[a-z_]+)` \|", PAGE, re.MULTILINE)) == exported()
    assert named(PAGE) == exported()
    queries = " ".join(target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"])
    assert named(queries) == exported()


def test_alerts_name_metrics_that_exist_and_the_page_explains_each() -> None:
    assert named(" ".join(rule["expr"] for rule in ALERTS)) <= exported()
    for rule in ALERTS:
        row = next(line for line in PAGE.splitlines() if line.startswith(f"| {rule['alert']} |"))
        assert f"`{rule['expr']}` | {rule['for']} | {rule['annotations']['summary']}." in row.replace("&#124;", "|")


def test_requests_edits_runs_and_prototypes_are_counted(client: Client, bundle: Bundle) -> None:
    name = bundle.fingerprint[:12]
    for body in (sketch_request(bundle, features(-1, 1, 1, -1)), b"rubbish", sketch_request(bundle, features(1))):
        client.post("/v1/adapt", body, HEADERS)
    client.get("/nowhere/at/all")
    client.get(f"/v1/bundles/{bundle.fingerprint}")
    found = values(client)
    assert found['persona_requests_total{path="/v1/adapt",status="200"}'] == 2
    assert found['persona_requests_total{path="/v1/adapt",status="400"}'] == 1
    assert found['persona_requests_total{path="other",status="404"}'] == 1
    assert found['persona_requests_total{path="/v1/bundles/{fingerprint}",status="200"}'] == 1
    assert found['persona_edits_total{outcome="given",reason=""}'] == 2
    assert found['persona_edits_total{outcome="refused",reason="malformed"}'] == 1
    assert found["persona_batch_requests_count"] == found["persona_batch_requests_sum"] == 2
    assert found[f'persona_prototype_replies_total{{bundle="{name}",prototype="1"}}'] == 1
    assert found[f'persona_bank_version{{bundle="{name}"}}'] == 7
    assert found[f'persona_sketch_distance{{bundle="{name}"}}'] > 0
    assert {found["persona_queue_requests"], found["persona_draining"], found["persona_held_body_bytes"]} == {0}


def test_what_fails_with_others_is_not_counted_twice(client: Client, bundle: Bundle) -> None:
    client.post("/v1/adapt", sketch_request(bundle, features(1, at={FAILS: 10})), HEADERS)
    found = values(client)
    assert found['persona_edits_total{outcome="refused",reason="encoder-failed"}'] == 1
    assert not any(name.startswith("persona_prototype_replies_total") for name in found)


def test_the_live_sketch_is_the_mean_of_what_came(bundle: Bundle) -> None:
    live = Metrics().live(bundle)
    live.answered([0, 0], [features(2), features(4)])
    live.answered([1], [features(3)])
    assert live._distance._value.get() == pytest.approx((9 / 8) ** 0.5)


def test_prototypes_of_high_numbers_share_a_label(bundle: Bundle) -> None:
    metrics = Metrics()
    bank = replace(bundle.bank, codes=np.zeros((300, 2, 2), np.float32), counts=np.ones(300, np.int64))
    metrics.live(replace(bundle, bank=bank)).answered([NUMBERED - 1, NUMBERED, 299], [])
    page = metrics.page().decode()
    assert 'prototype="255"} 1.0' in page
    assert 'prototype="more"} 2.0' in page


def test_strangers_get_no_metrics(client: Client) -> None:
    from tests.service import asgi

    sent: list[asgi.Message] = []

    async def from_outside(scope: dict[str, object], receive: object, send: object) -> None:
        await client.app({**scope, "client": ("203.0.113.9", 1)}, receive, send)  # type: ignore[arg-type]

    client.run(asgi.exchange(from_outside, "GET", "/metrics", b"", (), sent))
    assert asgi.as_answer(sent).status == 404


def test_readiness_ends_with_the_order_to_end(client: Client) -> None:
    assert client.get("/readyz").json() == {"status": "ready"}
    client.service.draining = True
    answer = client.get("/readyz")
    assert (answer.status, answer.json()) == (503, {"status": "draining"})
