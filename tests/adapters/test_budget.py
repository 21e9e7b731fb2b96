"""The decoder that a bundle can afford."""

from __future__ import annotations

import pytest

from persona.adapters.budget import choose_decoder, decoder_bytes
from persona.adapters.decoders import DecoderKind, DeltaDecoder
from persona.errors import SpecError
from persona.spec import LayerSpec, ModelSpec, TensorSpec


def spec_of(*shapes: tuple[int, ...]) -> ModelSpec:
    tensors = tuple(TensorSpec(f"t{i}", shape, 1.0) for i, shape in enumerate(shapes))
    return ModelSpec((LayerSpec("layer", "linear", tensors),))


# 40 × 50 gets a kernel: 2,000 columns in full, 90 for each rank. The bias and the small matrix, 40 + 60, do not.
SPEC = spec_of((40, 50), (40,), (6, 10))
CODE = 9  # ten rows with the constant one


@pytest.mark.parametrize(
    ("kind", "rank", "size"),
    [("basis", 4, 21_000), ("dense", 4, 21_000), ("kernel", 1, 1_900), ("kernel", 4, 4_600), ("kernel", 40, 37_000)],
)
def test_sizes_by_hand_are_those_of_the_decoder(kind: DecoderKind, rank: int, size: int) -> None:
    assert decoder_bytes(SPEC, CODE, kind, rank) == size
    shipped = DeltaDecoder(SPEC, (1, CODE), kind, rank).to_numpy()
    assert sum(array.size for array in shipped.to_arrays().values()) == size


@pytest.mark.parametrize(
    ("budget", "wanted"),
    [
        (10**9, ("basis", 1)),
        (21_000, ("basis", 1)),
        (20_999, ("kernel", 22)),  # 1,000 + 22 · 900
        (4_600, ("kernel", 4)),
        (4_599, ("kernel", 3)),
        (1_900, ("kernel", 1)),
    ],
)
def test_the_richest_that_fits(budget: int, wanted: tuple[str, int]) -> None:
    found = choose_decoder(SPEC, CODE, budget)
    assert found == wanted
    assert decoder_bytes(SPEC, CODE, *found) <= budget


@pytest.mark.parametrize("budget", [1_899, 0, -1])
def test_nothing_fits(budget: int) -> None:
    with pytest.raises(SpecError, match=r"full weights take 21,000, a kernel of rank 1 1,900; allow more"):
        choose_decoder(SPEC, CODE, budget)


def test_small_tensors_have_one_size() -> None:
    small = spec_of((6, 10), (6,))
    assert choose_decoder(small, CODE, 660) == ("basis", 1)
    with pytest.raises(SpecError, match="full weights take 660, a kernel of rank 1 660"):
        choose_decoder(small, CODE, 659)


def test_a_rank_beyond_the_smaller_side_adds_nothing() -> None:
    """Full weights of 2 × 2,000 are 4,000 columns and a kernel 2,002 for each rank; another tensor makes both dear."""
    spec = spec_of((2, 2000), (3000,))
    assert choose_decoder(spec, CODE, 50_020) == ("kernel", 1)
    assert decoder_bytes(spec, CODE, "kernel", 2) == 70_040
