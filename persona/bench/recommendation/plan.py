"""What one run of the benchmark consists of: data, setting, seeds, sizes. Everything that decides a figure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from persona.errors import DataError

Setting = Literal["users", "stale", "leave-one-out"]
SETTINGS: tuple[Setting, ...] = ("users", "stale", "leave-one-out")
SPLIT_SEED = 7
SYNTHETIC = "synthetic"  # the drift world without drift, whose switches of interest are known
CEILING = 200  # events that the ceiling's window and the adapter read


@dataclass(frozen=True)
class Sizes:
    """A device's net and how it is trained: SASRec with a window of 10."""

    d: int = 64
    dropout: float = 0.2
    epochs: int = 25
    patience: int = 4
    learning_rate: float = 3e-3
    batch: int = 256
    stride: int = 4
    length: int = 10


# Set by hand; a data set without an entry has the defaults.
SIZES: Mapping[str, Sizes] = {
    "ml-100k": Sizes(d=32),
    SYNTHETIC: Sizes(d=32),
    "amazon_beauty": Sizes(dropout=0.5, epochs=16),
    "amazon_office": Sizes(dropout=0.5, epochs=12),
}


@dataclass(frozen=True)
class Plan:
    """`setting` says who is asked: users unseen in training, late queries of a base that is stale, or last events.

    `asked` test queries and `validated` validation queries at most, drawn once. `epochs` of every editor; `most_users`
    cuts a log down, 0 does not. DataError for an unknown setting, or sizes that leave nothing to do.
    """

    data: str = "ml-100k"
    setting: Setting = "users"
    seeds: tuple[int, ...] = (0, 1, 2)
    sizes: Sizes = field(default_factory=Sizes)
    asked: int = 6000
    validated: int = 2000
    epochs: int = 3
    broadcast_steps: int = 300
    most_users: int = 0

    def __post_init__(self) -> None:
        if self.setting not in SETTINGS:
            raise DataError(f"there is no setting {self.setting!r}; there are {', '.join(SETTINGS)}")
        if min(self.asked, self.validated, self.epochs, self.broadcast_steps) < 1 or not self.seeds:
            raise DataError(f"{self} has nothing to do; wanted at least one query, epoch, step and seed")

    @classmethod
    def of(cls, data: str, setting: Setting) -> Plan:
        """Return the plan of a data set, with its sizes."""
        return cls(data, setting, sizes=SIZES.get(data, Sizes()))

    @property
    def name(self) -> str:
        """Where its results are kept."""
        return f"{self.data.replace(':', '-')}/{self.setting}"

    def to_json(self) -> dict[str, Any]:
        """Return plain values as JSON reads them back, without the seeds: files say those."""
        return {k: v for k, v in asdict(self).items() if k != "seeds"}

    def quick(self) -> Plan:
        """Return a run of a minute or two: it shows that everything works, and its figures mean little."""
        sizes = replace(self.sizes, d=16, epochs=2, stride=5)
        return replace(
            self, seeds=(0,), sizes=sizes, asked=400, validated=200, epochs=1, broadcast_steps=40, most_users=150
        )
