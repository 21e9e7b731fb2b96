from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona.errors import DataError
from persona.tasks.vision import FAMILIES, HELD, SEEN, Domain, Family, Part, sample_domain
from persona.tasks.vision.shifts.domain import WEAKEST
from persona.tasks.vision.shifts.family import Images, Parameters
from tests.tasks.vision.pictures import one_part, soft


def _drawn(split: str, n: int = 400) -> list[Domain]:
    rng = np.random.default_rng(0)
    return [sample_domain(rng, split) for _ in range(n)]  # type: ignore[arg-type]


def darken(images: Images, strength: float, parameters: Parameters, rng: np.random.Generator) -> Images:
    """A family of somebody else's."""
    return images * np.float32(1 - strength)


@pytest.mark.parametrize(("split", "names"), [("seen", SEEN), ("held", HELD)])
def test_domains_of_a_split_use_all_of_its_families_and_no_other(split: str, names: tuple[str, ...]) -> None:
    used = {part.family.name for domain in _drawn(split) for part in domain.parts}
    assert used == set(names)


@pytest.mark.parametrize("split", ["seen", "held"])
def test_about_half_of_the_domains_are_composites_of_both_kinds(split: str) -> None:
    kinds = Counter(tuple(part.family.kind for part in domain.parts) for domain in _drawn(split))
    assert set(kinds) == {("geometric", "photometric"), ("geometric",), ("photometric",)}
    assert 160 < kinds[("geometric", "photometric")] < 240


def test_strengths_are_continuous_and_never_negligible() -> None:
    strengths = [part.strength for domain in _drawn("seen") for part in domain.parts]
    assert len(set(strengths)) == len(strengths)
    assert min(strengths) >= WEAKEST
    assert max(strengths) <= 1
    assert np.quantile(strengths, 0.5) == pytest.approx((1 + WEAKEST) / 2, abs=0.05)


def test_clean_leaves_images_as_they_are() -> None:
    clean = sample_domain(np.random.default_rng(0), "clean")
    images = np.arange(0, 256, dtype=np.uint8).reshape(4, 1, 8, 8)
    assert clean == Domain()
    assert clean.name == "clean"
    np.testing.assert_array_equal(clean.apply(images, np.random.default_rng(0)), images.astype(np.float32) / 255)


def test_same_dice_same_domain() -> None:
    assert _drawn("seen", 20) == _drawn("seen", 20)


def test_bytes_and_floats_give_the_same_picture() -> None:
    domain = one_part(FAMILIES["rotation"], 0.3)
    pictures = np.random.default_rng(0).integers(256, size=(3, 1, 28, 28), dtype=np.uint8)
    from_bytes = domain.apply(pictures, np.random.default_rng(0))
    np.testing.assert_allclose(domain.apply(pictures / 255, np.random.default_rng(0)), from_bytes, atol=1e-6)


def test_parts_are_applied_in_order_and_named() -> None:
    rotation, fog = (Part(FAMILIES[name], 0.52, (0.7,) * FAMILIES[name].n_parameters) for name in ("rotation", "fog"))
    both, pictures, rng = Domain((rotation, fog)), soft((2, 1, 28, 28)), np.random.default_rng(0)
    by_hand = Domain((fog,)).apply(Domain((rotation,)).apply(pictures, rng), rng)
    np.testing.assert_array_equal(both.apply(pictures, rng), by_hand)
    assert both.name == "rotation 0.52 + fog 0.52"


@given(seed=st.integers(0, 2**32), split=st.sampled_from(["seen", "held", "clean"]))
def test_json_gives_the_domain_back(seed: int, split: str) -> None:
    domain = sample_domain(np.random.default_rng(seed), split)  # type: ignore[arg-type]
    assert Domain.from_json(domain.to_json()) == domain


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "null",
        "3",
        "{}1",
        "[[1]]",
        '[["fog", "x", []]]',
        '[["fog", 0.5, 7]]',
        '[["fog", 0.5, [{}]]]',
    ],
)
def test_other_text_is_no_domain(text: str) -> None:
    with pytest.raises(DataError, match=r"Domain\.to_json"):
        Domain.from_json(text)


def test_unknown_family_is_named() -> None:
    with pytest.raises(DataError, match=r"unknown shifts \['snow'\]; known are"):
        Domain.from_json('[["snow", 0.5, []]]')


@pytest.mark.parametrize("strength", [0.0, -0.1, 1.1, float("nan"), float("inf")])
def test_strength_must_be_in_range(strength: float) -> None:
    with pytest.raises(DataError, match="strength of shift 'fog'"):
        Part(FAMILIES["fog"], strength, (0.5,) * 4)


@pytest.mark.parametrize(
    "parameters", [(), (0.5,) * 3, (0.5, 0.5, 0.5, 1.0), (0.5, 0.5, -0.1, 0.5), (float("nan"),) * 4]
)
def test_parameters_must_fit_the_family(parameters: tuple[float, ...]) -> None:
    with pytest.raises(DataError, match="wanted 4 numbers"):
        Part(FAMILIES["fog"], 0.5, parameters)


def test_a_family_from_outside_is_drawn_applied_and_stored() -> None:
    mine = {"darken": Family("darken", "photometric", "held", 0, darken)}
    domain = sample_domain(np.random.default_rng(0), "held", mine)
    assert [part.family.name for part in domain.parts] == ["darken"]
    assert domain.apply(soft((1, 1, 8, 8)), np.random.default_rng(0)).shape == (1, 1, 8, 8)
    assert Domain.from_json(domain.to_json(), mine) == domain


def test_a_split_without_families_is_refused() -> None:
    with pytest.raises(DataError, match="no shift family is of split 'sene'"):
        sample_domain(np.random.default_rng(0), "sene")  # type: ignore[arg-type]


def test_a_family_that_changes_shape_or_type_is_refused() -> None:
    def crop(images: Images, strength: float, parameters: Parameters, rng: np.random.Generator) -> Images:
        return images[:, :, 1:]

    with pytest.raises(DataError, match=r"shift 'crop' returned \(1, 1, 7, 8\)"):
        one_part(Family("crop", "geometric", "seen", 0, crop), 0.5).apply(soft((1, 1, 8, 8)), np.random.default_rng(0))


@pytest.mark.parametrize("images", [np.zeros((2, 1, 4, 4), dtype=np.int64), np.zeros((2, 4, 4), dtype=np.float32)])
def test_images_of_another_type_or_shape_are_refused(images: Images) -> None:
    with pytest.raises(DataError, match="images to shift"):
        Domain().apply(images, np.random.default_rng(0))
