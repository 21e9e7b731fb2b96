"""What one run of the benchmark consists of: data, setting, seeds, sizes. Everything that decides a figure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, get_args

from persona.errors import DataError

Setting = Literal["users", "stale", "leave-one-out"]
Protocol = Literal["trustworthy", "paper"]
SETTINGS: tuple[Setting, ...] = ("users", "stale", "leave-one-out")
SPLIT_SEED = 7
SYNTHETIC = "synthetic"  # the drift world without drift, whose switches of interest are known
CEILING = 200  # events that the ceiling's window and the adapter read
# The paper's protocol: events that everybody reads, events before a target at least, negatives a target in training.
PAPER_READ, PAPER_LEAST, PAPER_NEGATIVES = 30, 10, 4


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

    `asked` test queries and `validated` validation queries at most, drawn once; every edit is chosen by up to `chosen`
    other validation queries. Every trained editor has the same grid: each of `rates`, and any of up to `epochs` epochs.
    Editors learn from `learnt` targets at most, of users drawn once. `most_users` cuts a log down, 0 does not. With the
    `protocol` of the paper everybody's last event is asked, among `negatives` items that the user never meets.
    DataError for an unknown setting or protocol, or sizes that leave nothing to do.
    """

    data: str = "ml-100k"
    setting: Setting = "users"
    seeds: tuple[int, ...] = (0, 1, 2)
    sizes: Sizes = field(default_factory=Sizes)
    asked: int = 6000
    validated: int = 2000
    chosen: int = 6000
    epochs: int = 6
    rates: tuple[float, ...] = (1e-4, 6e-4, 4e-3)
    learnt: int = 200_000
    broadcast_steps: int = 300
    most_users: int = 0
    protocol: Protocol = "trustworthy"
    negatives: int = 99

    def __post_init__(self) -> None:
        if self.setting not in SETTINGS:
            raise DataError(f"there is no setting {self.setting!r}; there are {', '.join(SETTINGS)}")
        if self.protocol not in get_args(Protocol) or (self.paper and self.setting != "leave-one-out"):
            raise DataError(
                f"there is no protocol {self.protocol!r} of setting {self.setting!r}; wanted trustworthy, or paper, "
                "which asks for everybody's last event"
            )
        sizes = (self.asked, self.validated, self.chosen, self.epochs, self.broadcast_steps, self.learnt)
        least = min(*sizes, self.negatives)
        if least < 1 or not self.seeds or not self.rates:
            raise DataError(
                f"{self} has nothing to do; wanted at least one query, epoch, rate, step, target, negative and seed"
            )

    @classmethod
    def of(cls, data: str, setting: Setting) -> Plan:
        """Return the plan of a data set, with its sizes."""
        return cls(data, setting, sizes=SIZES.get(data, Sizes()))

    @classmethod
    def of_paper(cls, data: str) -> Plan:
        """Return the plan of a data set under the paper's protocol: a window that holds all that is read."""
        sizes = replace(SIZES.get(data, Sizes()), length=PAPER_READ)
        return cls(data, "leave-one-out", sizes=sizes, protocol="paper")

    @property
    def paper(self) -> bool:
        """Whether the protocol is that of the paper."""
        return self.protocol == "paper"

    @property
    def reach(self) -> int:
        """How many events of a history an adapter reads."""
        return PAPER_READ if self.paper else CEILING

    @property
    def name(self) -> str:
        """Where its results are kept."""
        return f"{self.data.replace(':', '-')}/{self.protocol if self.paper else self.setting}"

    def to_json(self) -> dict[str, Any]:
        """Return plain values as JSON reads them back, without the seeds: files say those."""
        return {**{k: v for k, v in asdict(self).items() if k != "seeds"}, "rates": list(self.rates)}

    def quick(self) -> Plan:
        """Return a run of a minute or two: it shows that everything works, and its figures mean little."""
        sizes = replace(self.sizes, d=16, epochs=2, stride=5)
        return replace(
            self, seeds=(0,), sizes=sizes, asked=400, validated=200, chosen=200, epochs=1, rates=(4e-3,),
            broadcast_steps=40, most_users=150,
        )  # fmt: skip
