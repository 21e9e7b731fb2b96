"""Replies under a budget: what fits is sent, more bytes never lose, and the loss is what the device will have."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from persona.errors import MessageTooLarge, WireError
from persona.prototypes.reply import choose_reply
from persona.wire import AdaptReply
from tests.prototypes.worlds import METRICS, bank_of, line

CODE = arrays(np.float32, (1, 2), elements=st.floats(-50, 50, width=32))


@pytest.mark.parametrize(
    ("budget", "dtype", "size"),
    [(16, None, 16), (27, None, 16), (28, "int8", 28), (31, "int8", 28), (32, "float16", 32), (47, "float16", 32),
     (48, "float32", 48), (1 << 20, "float32", 48)],
)  # fmt: skip
def test_the_finest_that_fits_is_sent(budget: int, dtype: str | None, size: int) -> None:
    """A reply of a (1, 8) code: 16 bytes bare, 12 more as int8 with its scale, 16 as float16, 32 as float32."""
    code = np.array([np.arange(1, 9) / 9], np.float32)
    reply = choose_reply(bank_of(np.zeros((1, 1, 8))), code, budget)
    assert reply.size_bytes == size
    if dtype is None:
        assert reply.residual is None
        assert reply.loss == pytest.approx(np.linalg.norm(code))
    else:
        assert reply.code_dtype == dtype
        assert reply.loss <= np.sqrt(8) * {"int8": 8 / 9 / 127 / 2, "float16": 2**-12, "float32": 0}[dtype] * 1.001


def test_a_code_that_is_a_prototype_needs_no_residual() -> None:
    reply = choose_reply(bank_of(line(0, 7)), line(7)[0], 1000)
    assert (reply.prototype, reply.residual, reply.size_bytes, reply.loss) == (1, None, 16, 0)


def test_of_equals_the_shortest_is_sent() -> None:
    reply = choose_reply(bank_of(np.zeros((1, 1, 8))), np.full((1, 8), 127, np.float32), 1000)
    assert (reply.code_dtype, reply.size_bytes, reply.loss) == ("int8", 16 + 4 + 8, 0)


def test_the_metric_says_what_is_lost() -> None:
    """The residual lies in a direction that no edit depends on: the bare prototype says it all."""
    bank = bank_of(np.zeros((1, 1, 2)), [[1, 0], [0, 0]])
    reply = choose_reply(bank, np.array([[0, 5]], np.float32), 1000)
    assert (reply.residual, reply.loss) == (None, 0)


def test_beyond_float16_another_dtype_is_taken() -> None:
    reply = choose_reply(bank_of(np.zeros((1, 1, 2))), np.array([[1e6, 1]], np.float32), 22)
    assert reply.code_dtype == "int8"
    assert reply.loss == pytest.approx(1, abs=0.1)


@given(CODE, st.integers(16, 30), st.integers(0, 10), METRICS)
def test_more_bytes_never_lose_and_the_budget_holds(code: Any, budget: int, more: int, metric: Any) -> None:
    bank = bank_of(line(-8, 0, 8), metric)
    small, large = choose_reply(bank, code, budget), choose_reply(bank, code, budget + more)
    assert large.loss <= small.loss
    for reply in (small, large):
        data = AdaptReply("0" * 12, reply.prototype, 1, 60, reply.residual, reply.code_dtype).encode()
        assert len(data) == reply.size_bytes
        arrived = AdaptReply.decode(data, bank.code_shape)
        composed = bank.compose(arrived.prototype, arrived.residual)
        lost = (code.astype(np.float64) - composed) @ (np.eye(2) if metric is None else np.array(metric))
        assert reply.loss == pytest.approx(np.linalg.norm(lost), rel=1e-3, abs=1e-5)
    assert small.size_bytes <= budget


def test_less_than_a_bare_prototype_is_refused() -> None:
    with pytest.raises(MessageTooLarge, match="may take 15 bytes, a bare prototype takes 16; allow at least that"):
        choose_reply(bank_of(line(0)), line(0)[0], 15)
    with pytest.raises(WireError, match="this bank needs"):
        choose_reply(bank_of(line(0)), np.zeros((1, 3), np.float32), 100)
