"""What one run of the benchmark consists of: data, seeds, streams, budgets. Everything that decides a figure."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from persona.errors import DataError

# Streams that choices are made on, and streams that are reported. They share no seed and no picture.
VALIDATION_SEEDS = (501, 502)
TEST_SEEDS = (11, 12, 13)
TRAIN_SEEDS = (0, 1, 2)
SMALL = 8  # by how much a small run is shorter in training
LARGEST_WINDOW = 35  # counts are kept as one digit to the base 36


@dataclass(frozen=True)
class Plan:
    """`base_steps` of the shared start, then `peer_steps` for every trained peer.

    An adapter has `warm_steps` as a plain net and then `steps` of its own, each of which costs about 1.5 plain ones: in
    all the time that peers have. The larger net of CEMA's cloud has `teacher_steps` from its own start.
    `kit_windows` of training are behind banks, gate and prior term. `windows` per segment of a stream, four segments to
    a device (A B A C). DataError where a size is not positive, or a stream seed is one that choices are made on.
    """

    data: str = "fashion-mnist"
    backbone: str = "cnn-bn"
    train_seeds: tuple[int, ...] = TRAIN_SEEDS
    stream_seeds: tuple[int, ...] = TEST_SEEDS
    devices: int = 34
    windows: int = 3
    window_size: int = 32
    base_steps: int = 600
    warm_steps: int = 1200
    steps: int = 2250
    peer_steps: int = 4600
    teacher_steps: int = 1500
    ablation_steps: int = 400
    kit_windows: int = 2048

    def __post_init__(self) -> None:
        sizes = (self.devices, self.windows, self.window_size, self.base_steps, self.warm_steps, self.steps)
        others = (self.peer_steps, self.teacher_steps, self.ablation_steps, self.kit_windows)
        if min(*sizes, *others) < 1 or not self.train_seeds or not self.stream_seeds:
            raise DataError(
                f"a benchmark of the sizes {sizes}, training seeds {self.train_seeds} and stream seeds "
                f"{self.stream_seeds} has nothing to do; wanted at least one of each"
            )
        if set(self.stream_seeds) & set(VALIDATION_SEEDS):
            raise DataError(
                f"stream seeds {self.stream_seeds} hold one of {VALIDATION_SEEDS}, kept for choices; take others"
            )
        if self.window_size > LARGEST_WINDOW:
            raise DataError(f"windows of {self.window_size} samples; results keep counts up to {LARGEST_WINDOW}")

    @property
    def name(self) -> str:
        """Where its results are kept."""
        return f"{self.data.replace(':', '-')}/{self.backbone}"

    def to_json(self) -> dict[str, Any]:
        """Return plain values, lists for tuples, as JSON reads them back."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    def small(self) -> Plan:
        """Return a run for data sets beside the main one.

        One training seed, one stream seed, half the devices, an eighth of the training for every net.
        """
        names = ("base_steps", "warm_steps", "steps", "peer_steps", "teacher_steps", "ablation_steps")
        return replace(
            self, train_seeds=self.train_seeds[:1], stream_seeds=self.stream_seeds[:1], devices=self.devices // 2,
            **{name: max(getattr(self, name) // SMALL, 1) for name in names},
        )  # fmt: skip

    def quick(self) -> Plan:
        """Return a run of minutes: it shows that everything works, and its figures mean little."""
        return replace(
            self, train_seeds=(0,), stream_seeds=(11,), devices=4, windows=2,
            base_steps=40, warm_steps=20, steps=40, peer_steps=60, teacher_steps=80, ablation_steps=20, kit_windows=256,
        )  # fmt: skip
