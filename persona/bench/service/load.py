"""The client, a process of its own: ``python -m persona.bench.service.load`` with a plan as JSON on its input."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from persona.errors import ServiceError


@dataclass(frozen=True)
class Plan:
    """`connections` to a port of this machine send the body in a file again and again for `seconds`.

    `rate_per_s` 0: each as soon as it has its answer. Above: on a clock, and a latency counts from when a request was
    due, so that waiting for a slow answer does not hide the next request's delay.
    """

    port: int
    body: str
    content_type: str
    connections: int = 64
    seconds: float = 10.0
    rate_per_s: float = 0.0


async def _connection(plan: Plan, request: bytes, place: int, latencies_s: list[float]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", plan.port)
    now = time.perf_counter()
    gap_s = plan.connections / plan.rate_per_s if plan.rate_per_s else 0.0
    due, end = now + gap_s * place / plan.connections, now + plan.seconds
    while (now := time.perf_counter()) < end and due < end:
        if due > now:
            await asyncio.sleep(due - now)
        began = due if gap_s else now
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200 "):
            raise ServiceError(f"the service answered {head[:12]!r} under load; wanted 200 alone")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(int(length.split(b":")[1]))
        latencies_s.append(time.perf_counter() - began)
        due += gap_s
    writer.close()


async def _run(plan: Plan) -> dict[str, float]:
    body = Path(plan.body).read_bytes()
    head = f"POST /v1/adapt HTTP/1.1\r\nHost: here\r\nContent-Type: {plan.content_type}\r\n"
    request = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
    latencies_s: list[float] = []
    start = time.perf_counter()
    await asyncio.gather(*(_connection(plan, request, k, latencies_s) for k in range(plan.connections)))
    p50, p99 = np.percentile(latencies_s, [50, 99])
    seconds = time.perf_counter() - start
    return {"requests": len(latencies_s), "seconds": seconds, "p50_ms": 1e3 * p50, "p99_ms": 1e3 * p99}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(_run(Plan(**json.loads(sys.stdin.read()))))))
