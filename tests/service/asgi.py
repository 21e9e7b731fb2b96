"""A client that speaks ASGI to an application in this process: no network, and every event in the test's hands."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from fastapi import FastAPI

Headers = Mapping[str, str] | Iterable[tuple[str, str]]
Body = bytes | AsyncIterator[bytes]
Message = dict[str, Any]
App = Callable[..., Awaitable[None]]


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """Runs an application's lifespan for the length of a block, and requests within it.

    A request's body may be an asynchronous iterator: what it yields arrives, what it raises is the client going away.
    """

    def __init__(self, app: FastAPI) -> None:
        self.app = app
        self.service = app.state.service
        self._runner = asyncio.Runner()

    def __enter__(self) -> Self:
        self._lifespan = self.app.router.lifespan_context(self.app)
        self.run(self._lifespan.__aenter__())
        return self

    def __exit__(self, *_error: object) -> None:
        self.run(self._lifespan.__aexit__(None, None, None))
        self._runner.close()

    def run(self, work: Awaitable[Any]) -> Any:
        async def waited() -> Any:
            return await work

        return self._runner.run(waited())

    def get(self, path: str, headers: Headers = (), method: str = "GET") -> Answer:
        answer = self.run(call(self.app, method, path, b"", headers))
        assert isinstance(answer, Answer)
        return answer

    def post(self, path: str, body: Body, headers: Headers = ()) -> Answer:
        answer = self.run(call(self.app, "POST", path, body, headers))
        assert isinstance(answer, Answer)
        return answer


async def call(app: App, method: str, path: str, body: Body, headers: Headers = ()) -> Answer:
    sent: list[Message] = []
    await exchange(app, method, path, body, headers, sent)
    return as_answer(sent)


async def exchange(app: App, method: str, path: str, body: Body, headers: Headers, sent: list[Message]) -> None:
    """Run one request; what the application sends is appended to a list, where an error of its own leaves it."""
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    scope = {
        "type": "http", "asgi": {"spec_version": "2.4"}, "http_version": "1.1",
        "method": method, "path": path, "raw_path": path.encode(),
        "query_string": b"", "scheme": "http", "server": ("test", 80), "client": ("127.0.0.1", 1), "root_path": "",
        "headers": [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in pairs],
    }  # fmt: skip
    chunks = _once(body) if isinstance(body, bytes) else body

    async def receive() -> Message:
        try:
            return {"type": "http.request", "body": await anext(chunks), "more_body": True}
        except StopAsyncIteration:
            return {"type": "http.request", "body": b"", "more_body": False}
        except ConnectionError:
            return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)


def as_answer(sent: list[Message]) -> Answer:
    start, *rest = sent
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in start["headers"]}
    return Answer(start["status"], headers, b"".join(message.get("body", b"") for message in rest))


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body
