"""What tests of the runtime share: a clock that is set by hand, an executor without threads, a cloud in the process."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from typing import Any

from persona.wire import AdaptReply, AdaptRequest


@dataclass
class Clock:
    """A clock that goes when told to."""

    now: float = 100.0

    def __call__(self) -> float:
        return self.now


class Inline(Executor):
    """Runs a job before `submit` returns, so that what a prediction asked for has happened when it returns."""

    def submit(self, job: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(job(*args, **kwargs))
        return future


@dataclass
class LocalCloud:
    """A cloud without a network: an adapter as a function. Keeps the requests that it was asked."""

    adapter: Callable[[AdaptRequest], AdaptReply]
    requests: list[AdaptRequest] = field(default_factory=list)

    def adapt(self, request: AdaptRequest, code_shape: tuple[int, int]) -> AdaptReply:
        self.requests.append(request)
        return AdaptReply.decode(self.adapter(AdaptRequest.decode(request.encode())).encode(), code_shape)
