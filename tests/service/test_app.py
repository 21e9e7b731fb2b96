"""What holds for all paths: health, the shape of every problem, and the description of the interface."""

from __future__ import annotations

import pytest
from fastapi import Request
from fastapi.routing import APIRoute
from starlette.routing import Route

import persona
from persona.bundle import Bundle
from persona.errors import EnrolmentRefused
from persona.service.problems import KINDS
from tests.service.asgi import Client, Message, as_answer, exchange
from tests.service.asking import HEADERS, features, sketch_request


def test_health_counts_what_was_served(client: Client, bundle: Bundle) -> None:
    wanted = {
        "status": "ok",
        "bundle": bundle.fingerprint,
        "bank_version": 7,
        "served": 0,
        "errors": 0,
        "version": persona.__version__,
    }
    assert client.get("/healthz").json() == wanted
    for body in (sketch_request(bundle, features(1)), b"rubbish", sketch_request(bundle, features(2))):
        client.post("/v1/adapt", body, HEADERS)
    client.get("/nowhere")
    assert client.get("/healthz").json() == {**wanted, "served": 2, "errors": 1}


def test_health_says_when_the_service_ends(client: Client) -> None:
    client.service.draining = True
    answer = client.get("/healthz")
    assert (answer.status, answer.json()["status"]) == (503, "draining")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/v1/nothing", 404),
        ("GET", "/docs", 404),
        ("GET", "/v1/adapt", 405),
        ("PUT", "/v1/adapt", 405),
        ("POST", "/v1/bundle", 405),
        ("DELETE", "/healthz", 405),
    ],
)
def test_the_frameworks_own_errors_have_the_same_shape(client: Client, method: str, path: str, status: int) -> None:
    answer = client.get(path, method=method)
    assert answer.status == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem.keys() == {"type", "title", "status", "detail"}
    assert (problem["type"], problem["status"]) == ("about:blank", status)
    assert ("allow" in answer.headers) == (status == 405)


def test_an_error_nobody_foresaw_tells_the_client_nothing(client: Client) -> None:
    async def broken(_request: Request) -> None:
        raise RuntimeError("the secret")

    client.app.add_route("/broken", broken)
    sent: list[Message] = []
    with pytest.raises(RuntimeError, match="the secret"):  # goes on to the server, which logs it
        client.run(exchange(client.app, "GET", "/broken", b"", (), sent))
    answer = as_answer(sent)
    assert answer.status == 500
    assert "secret" not in answer.body.decode()
    assert answer.json()["title"] == "Internal Server Error"


def test_every_kind_of_problem_has_its_own_status() -> None:
    assert len({kind.status for kind in KINDS.values()}) == len(KINDS) == len({kind.name for kind in KINDS.values()})


def test_the_description_names_every_path_and_no_other(client: Client) -> None:
    document = client.get("/openapi.json").json()
    described = {(path, method.upper()) for path, item in document["paths"].items() for method in item}
    routes = [route for route in client.app.routes if isinstance(route, Route) and route.path != "/openapi.json"]
    assert not any(isinstance(route, APIRoute) for route in routes)
    served = {(route.path, method) for route in routes for method in route.methods or () if method != "HEAD"}
    assert described == served


def test_the_description_names_every_status_of_adapt(client: Client) -> None:
    responses = client.get("/openapi.json").json()["paths"]["/v1/adapt"]["post"]["responses"]
    # 408 and 415 are the framework's; the rest are ours.
    of_adapt = {kind.status for error, kind in KINDS.items() if error is not EnrolmentRefused}
    assert {int(status) for status in responses} == {200, 408, 415} | of_adapt
