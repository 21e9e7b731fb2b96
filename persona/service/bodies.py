"""Request bodies within limits: bytes of one body, bytes of all bodies together, and time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import HTTPException, Request
from starlette.requests import ClientDisconnect

from persona.errors import MessageTooLarge, Overloaded
from persona.service.limits import Limits


class Bodies:
    """Reads bodies as they come, and refuses one when it passes a limit rather than when it ends."""

    def __init__(self, limits: Limits) -> None:
        """Of the limits, `body_bytes`, `body_s` and `held_bytes` count here."""
        self._limits = limits
        self._held_bytes = 0

    @property
    def held_bytes(self) -> int:
        """Bytes of all bodies in work."""
        return self._held_bytes

    @asynccontextmanager
    async def body_of(self, request: Request) -> AsyncIterator[bytes]:
        """Hold a request's body for the length of the block; until then it counts as held.

        Raises MessageTooLarge, Overloaded, or HTTPException where the client is slow (408) or gone (400).
        """
        length = request.headers.get("content-length", "")
        if length.isdecimal() and int(length) > self._limits.body_bytes:
            raise self._too_large(f"{int(length):,}")
        chunks: list[bytes] = []
        try:
            await self._receive(request, chunks)
            yield b"".join(chunks)
        finally:
            self._held_bytes -= sum(map(len, chunks))

    async def _receive(self, request: Request, chunks: list[bytes]) -> None:
        """Append a body's chunks to the list, each counted as held from then on."""
        received = 0
        try:
            async with asyncio.timeout(self._limits.body_s):
                async for chunk in request.stream():
                    chunks.append(chunk)
                    received += len(chunk)
                    self._held_bytes += len(chunk)
                    self._check(received)
        except TimeoutError:
            raise HTTPException(408, f"the body did not come within {self._limits.body_s:g} s") from None
        except ClientDisconnect:
            raise HTTPException(400, "the connection ended before the body did") from None

    def _check(self, received: int) -> None:
        if received > self._limits.body_bytes:
            raise self._too_large(f"more than {self._limits.body_bytes:,}")
        if self._held_bytes > self._limits.held_bytes:
            raise Overloaded(f"the bodies in work exceed {self._limits.held_bytes:,} bytes; ask again")

    def _too_large(self, size: str) -> MessageTooLarge:
        return MessageTooLarge(f"a request is {size} bytes; the limit is {self._limits.body_bytes:,}: send less")
