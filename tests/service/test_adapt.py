"""POST /v1/adapt: the right reply to a good request, the right refusal to every other."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona.bundle import Bundle, read_bundle
from persona.service import create_app
from persona.service.limits import Limits
from persona.wire import CONTENT_TYPE, REQUEST_LIMIT_BYTES, AdaptReply, AdaptRequest
from tests.service.asgi import Answer, Client, call
from tests.service.asking import HEADERS, features, samples_request, sketch_request
from tests.service.graphs import FAILS, GIVES_HUGE, GIVES_NAN, SET_WEIGHT


def adapt(client: Client, body: bytes | AsyncIterator[bytes]) -> Answer:
    return client.post("/v1/adapt", body, HEADERS)


def refused(answer: Answer, status: int, complaint: str) -> None:
    assert answer.status == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem.keys() == {"type", "title", "status", "detail"}
    assert problem["status"] == status
    assert complaint in problem["detail"]


def test_a_sketch_gets_the_prototype_and_the_rest_of_its_code(client: Client, bundle: Bundle) -> None:
    # The code is the first four features. The second prototype is (-1, 1, 1, -1).
    answer = adapt(client, sketch_request(bundle, features(-1, 1, 1.5, -1.25)))
    assert answer.status == 200
    assert answer.headers["content-type"] == CONTENT_TYPE
    assert answer.headers["content-length"] == str(len(answer.body)) == "24"
    reply = AdaptReply.decode(answer.body, bundle.decoder.code_shape)
    assert (reply.fingerprint, reply.prototype, reply.bank_version) == (bundle.fingerprint[:12], 1, 7)
    assert (reply.expires_s, reply.code_dtype) == (600, "float16")
    np.testing.assert_array_equal(reply.residual, [[0, 0], [0.5, -0.25]])


def test_a_set_of_samples_gets_its_reply(samples_client: Client, samples_bundle: Bundle) -> None:
    samples = np.array([[1, 0, 0], [1, 2, 0], [1, 1, 3]], np.float32)
    answer = adapt(samples_client, samples_request(samples_bundle, samples))
    reply = AdaptReply.decode(answer.body, samples_bundle.decoder.code_shape)
    code = samples_bundle.bank.compose(reply.prototype, reply.residual)
    np.testing.assert_allclose(code.ravel(), samples.mean(axis=0) @ SET_WEIGHT, atol=1e-3)


def test_the_type_of_the_body_is_named_in_any_case_and_with_parameters(client: Client, bundle: Bundle) -> None:
    body = sketch_request(bundle, features(1))
    found = client.post("/v1/adapt", body, {"content-type": "Application/VND.persona.v1 ; q=1"})
    assert found.status == 200


def test_many_at_once_each_get_their_own(client: Client, bundle: Bundle) -> None:
    """Requests of all kinds together: each has the answer that it has alone."""
    bodies = [sketch_request(bundle, features(k / 16, -1, 1, k / 8)) for k in range(64)]
    bodies[10:14] = [
        sketch_request(bundle, features(1, at={FAILS: 10})),
        sketch_request(bundle, features(1, at={GIVES_NAN: 10})),
        sketch_request(bundle, features(1, at={GIVES_HUGE: 10})),
        b"rubbish",
    ]

    async def crowd() -> list[Answer]:
        return await asyncio.gather(*(call(client.app, "POST", "/v1/adapt", body, HEADERS) for body in bodies))

    together = client.run(crowd())
    assert together == [adapt(client, body) for body in bodies]
    assert [answer.status for answer in together[10:14]] == [500, 422, 422, 400]
    assert {answer.status for answer in together[:10] + together[14:]} == {200}


def test_what_the_encoder_cannot_do_is_not_explained_to_strangers(
    client: Client, bundle: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    answer = adapt(client, sketch_request(bundle, features(1, at={FAILS: 10})))
    refused(answer, 500, "the encoder failed")
    assert "Gather" not in answer.body.decode()
    assert "Gather" in caplog.text


@pytest.mark.parametrize(
    ("index", "complaint"), [(GIVES_NAN, "no finite code"), (GIVES_HUGE, "code that cannot travel")]
)
def test_values_without_a_usable_code_are_refused(client: Client, bundle: Bundle, index: int, complaint: str) -> None:
    refused(adapt(client, sketch_request(bundle, features(1, at={index: 10}))), 422, complaint)


def header(
    bundle: Bundle, magic: bytes = b"PQ", version: int = 1, context: int = 0, dtype: int = 0, axes: int = 1
) -> bytes:
    return struct.pack("<2sBB6sBBI", magic, version, context, bytes.fromhex(bundle.fingerprint[:12]), dtype, axes, 8)


def test_lies_are_refused(client: Client, bundle: Bundle) -> None:
    good = sketch_request(bundle, features(1))
    eight = struct.pack("<I", 8) + bytes(32)
    for body, complaint in [
        (b"", "too short"),
        (good[:15], "too short"),
        (good[:18], "ends within its shape"),
        (good[:-1], "is 51 bytes; wanted 52"),
        (good + b"\0", "is 53 bytes; wanted 52"),
        (header(bundle, magic=b"PR") + eight, "wanted b'PQ'"),
        (header(bundle, version=2) + eight, "version 2"),
        (header(bundle, version=0) + eight, "version 0"),
        (header(bundle, context=2) + eight, "context 2"),
        (header(bundle, dtype=5) + eight, "dtype 5"),
        (header(bundle, axes=0) + bytes(32), "0 axes"),
        (header(bundle, axes=7) + bytes(60), "7 axes"),
        (header(bundle) + struct.pack("<I", 0), "empty axis"),
        (header(bundle) + struct.pack("<I", 2**32 - 1) + bytes(32), "wanted 17179869200"),
        (header(bundle, axes=6) + struct.pack("<6I", *[2**32 - 1] * 6), "wanted"),
        (header(bundle, axes=3) + struct.pack("<3I", 0, 2**32 - 1, 2**32 - 1), "empty axis"),
        (header(bundle) + struct.pack("<I8f", 8, *[float("nan")] * 8), "not finite"),
        (header(bundle) + struct.pack("<I8f", 8, *[float("-inf")] * 8), "not finite"),
    ]:
        refused(adapt(client, body), 400, complaint)


def test_what_is_no_good_for_this_bundle_is_refused(client: Client, bundle: Bundle) -> None:
    refused(adapt(client, samples_request(bundle, np.ones((4, 2), np.float32))), 422, "needs ('S', 3)")
    refused(adapt(client, sketch_request(bundle, np.ones(7, np.float32))), 422, "needs (8,)")
    refused(adapt(client, sketch_request(bundle, np.full(8, 17, np.float32))), 422, "beyond ±16")
    refused(adapt(client, sketch_request(bundle, features(1), count=0)), 422, "of 0 samples")


def test_a_sketch_is_no_good_where_samples_are_read(samples_client: Client, samples_bundle: Bundle) -> None:
    refused(adapt(samples_client, sketch_request(samples_bundle, features(1))), 422, "this bundle reads samples")
    many = samples_request(samples_bundle, np.ones((17, 3), np.float32))
    refused(adapt(samples_client, many), 422, "S up to 16")


def test_a_request_for_another_bundle_is_refused(client: Client, bundle: Bundle) -> None:
    answer = adapt(client, AdaptRequest("00" * 32, "sketch", features(1), 8).encode())
    refused(answer, 409, f"this side has {bundle.fingerprint[:12]}")
    assert answer.json()["type"] == "urn:persona:problem:other-bundle"


@pytest.mark.parametrize("named", [{}, {"content-type": "application/json"}, {"content-type": ""}])
def test_a_body_of_another_type_is_refused(client: Client, bundle: Bundle, named: dict[str, str]) -> None:
    refused(client.post("/v1/adapt", sketch_request(bundle, features(1)), named), 415, f"wanted {CONTENT_TYPE}")


@given(body=st.one_of(st.binary(max_size=80), st.binary(max_size=80).map(lambda rest: b"PQ\x01\x00" + rest)))
def test_random_bytes_are_refused(sketch_client: Client, body: bytes) -> None:
    answer = adapt(sketch_client, body)
    assert answer.status in {400, 409}
    assert answer.headers["content-type"] == "application/problem+json"


@given(data=st.data())
def test_a_flipped_byte_is_refused_or_answered(sketch_client: Client, bundle: Bundle, data: st.DataObject) -> None:
    body = bytearray(sketch_request(bundle, features(1, -1, 1, -1)))
    body[data.draw(st.integers(0, len(body) - 1))] ^= data.draw(st.integers(1, 255))
    assert adapt(sketch_client, bytes(body)).status in {200, 400, 409, 422}


class Chunks:
    """A body of equal chunks; counts those that were taken."""

    def __init__(self, chunk: bytes, number: int, end: BaseException | None = None) -> None:
        self.taken = 0
        self._chunk, self._number, self._end = chunk, number, end

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self.taken == self._number:
            raise self._end or StopAsyncIteration
        self.taken += 1
        return self._chunk


def test_a_body_may_come_in_pieces(client: Client, bundle: Bundle) -> None:
    body = sketch_request(bundle, features(1))
    pieces = Chunks(body[:1], 1)

    async def rest() -> AsyncIterator[bytes]:
        for byte in body:
            yield bytes([byte])

    assert adapt(client, rest()).status == 200
    refused(adapt(client, pieces), 400, "too short")


def test_too_long_a_body_is_refused_before_it_has_all_come(client: Client) -> None:
    chunks = Chunks(bytes(1 << 20), 64)
    answer = adapt(client, chunks)
    refused(answer, 413, f"the limit is {REQUEST_LIMIT_BYTES:,}")
    assert chunks.taken == 9
    assert answer.headers["connection"] == "close"


def test_a_body_that_announces_too_much_is_refused_before_any_of_it_comes(client: Client) -> None:
    chunks = Chunks(b"x", 1)
    announced = {**HEADERS, "content-length": str(REQUEST_LIMIT_BYTES + 1)}
    refused(client.post("/v1/adapt", chunks, announced), 413, "a request is 8,388,609 bytes")
    assert chunks.taken == 0


def test_a_body_of_just_the_limit_is_read(client: Client) -> None:
    refused(adapt(client, bytes(REQUEST_LIMIT_BYTES)), 400, "wanted b'PQ'")


def test_a_client_that_leaves_within_its_body_costs_nothing(client: Client, bundle: Bundle) -> None:
    refused(adapt(client, Chunks(b"PQ", 1, ConnectionResetError())), 400, "the connection ended")
    assert adapt(client, sketch_request(bundle, features(1))).status == 200


async def never_ends(begins: bytes, waits: asyncio.Event) -> AsyncIterator[bytes]:
    yield begins
    await waits.wait()


def test_a_slow_body_holds_nobody_up_and_ends(sketch_folder: Path) -> None:
    bundle = read_bundle(sketch_folder)
    body = sketch_request(bundle, features(1))

    async def story(client: Client) -> list[Answer]:
        slow = [
            asyncio.create_task(call(client.app, "POST", "/v1/adapt", never_ends(body[:30], asyncio.Event()), HEADERS))
            for _ in range(50)
        ]
        answer = await call(client.app, "POST", "/v1/adapt", body, HEADERS)
        assert answer.status == 200
        assert not any(task.done() for task in slow)
        return await asyncio.gather(*slow)

    with Client(create_app(sketch_folder, Limits(body_s=0.5))) as client:
        for answer in client.run(story(client)):
            refused(answer, 408, "did not come within 0.5 s")
            assert answer.headers["connection"] == "close"


def test_bodies_together_have_a_limit(sketch_folder: Path) -> None:
    bundle = read_bundle(sketch_folder)
    body = sketch_request(bundle, features(1))

    async def story(client: Client) -> None:
        waits = asyncio.Event()
        half = asyncio.create_task(call(client.app, "POST", "/v1/adapt", never_ends(body[:30], waits), HEADERS))
        await asyncio.sleep(0)
        overloaded(await call(client.app, "POST", "/v1/adapt", body, HEADERS), "bodies in work")
        waits.set()
        refused(await half, 400, "is 30 bytes")
        assert (await call(client.app, "POST", "/v1/adapt", body, HEADERS)).status == 200

    with Client(create_app(sketch_folder, Limits(held_bytes=len(body)))) as client:
        client.run(story(client))


def overloaded(answer: Answer, complaint: str) -> None:
    refused(answer, 503, complaint)
    assert answer.headers["retry-after"] == "1"


def test_a_full_queue_is_said_before_the_body_comes(sketch_folder: Path) -> None:
    chunks = Chunks(b"x", 1)
    with Client(create_app(sketch_folder, Limits(waiting=0))) as client:
        overloaded(adapt(client, chunks), "0 requests wait")
    assert chunks.taken == 0


def test_waiting_too_long_is_said(sketch_folder: Path, bundle: Bundle) -> None:
    with Client(create_app(sketch_folder, Limits(wait_s=-1))) as client:
        overloaded(adapt(client, sketch_request(bundle, features(1))), "turn did not come")


def test_after_the_end_requests_are_sent_elsewhere(sketch_folder: Path, bundle: Bundle) -> None:
    with Client(create_app(sketch_folder)) as client:
        client.run(client.service.adaptation.batcher.close())
        overloaded(adapt(client, sketch_request(bundle, features(1))), "has shut down")
