"""The rows of a table: a name, and how its method is made for each device from what a training seed left."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from torch import Tensor, nn

from persona import catalog
from persona.baselines.arm_bn import ArmBn, ArmBnMethod
from persona.baselines.arm_cml import ArmCml, ArmCmlMethod
from persona.baselines.base import Method
from persona.baselines.cema import Cema
from persona.baselines.duet import Duet, DuetMethod
from persona.baselines.norms import affine_parameters
from persona.baselines.static import Static
from persona.bench.vision.costs import Traffic, cema_traffic, prototype_traffic, sketch_traffic
from persona.bench.vision.drive import Make
from persona.bench.vision.kit import Kits
from persona.bench.vision.ours import Deltas, Fixed, Options, Persona
from persona.bench.vision.roles import MAIN
from persona.errors import CatalogError, SpecError
from persona.training.suite import Suite


@dataclass(frozen=True, eq=False)
class Trained:
    """Everything of one training seed, and the settings that tuning chose: {row: {setting: value}}.

    `teacher` is the larger net of CEMA's cloud, the same for all seeds; None where no row wants it.
    """

    suite: Suite
    kits: Kits
    teacher: nn.Module | None
    seed: int
    chosen: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


Build = Callable[[Trained], Make]

PLAIN = Options(prior=False)
DELAYS = (2, 3, 5)


def _ours(options: Options) -> Build:
    return lambda trained: lambda device: Persona(trained.kits.kit, options)


def _prototypes(k: int, options: Options = PLAIN) -> Build:
    def build(trained: Trained) -> Make:
        bank = trained.kits.banks[k]
        only = replace(options, reply=lambda code: bank.codes[int(bank.assign(code)[0])])
        kit = replace(trained.kits.kit, bank=bank)
        return lambda device: Persona(kit, only)

    return build


def _mean_edit(trained: Trained) -> Make:
    mean: Deltas = {name: delta.mean(dim=0) for name, delta in trained.kits.pool.items()}
    return lambda device: Fixed(trained.kits.kit.learner, lambda: mean)


def _shuffled_edit(trained: Trained) -> Make:
    def make(device: int) -> Method:
        dice = np.random.default_rng((trained.seed, device, 7))

        def draw() -> Deltas:
            chosen = int(dice.integers(len(next(iter(trained.kits.pool.values())))))
            return {name: delta[chosen] for name, delta in trained.kits.pool.items()}

        return Fixed(trained.kits.kit.learner, draw)

    return make


def _zero_context(trained: Trained) -> Make:
    blind = replace(trained.kits.kit, learner=replace(trained.kits.kit.learner, blind=True))
    return lambda device: Persona(blind, replace(PLAIN, local=False, guard=False, gated=False, unmixed=False))


def _constant(trained: Trained) -> Make:
    if trained.suite.constant is None:
        raise SpecError("the constant edit was not learned for this seed; leave its row out")
    kit = replace(trained.kits.kit, learner=trained.suite.constant)
    # Ungated: turned down by how strange a window is, the edit would not be the same for everybody.
    return lambda device: Persona(kit, replace(PLAIN, local=False, guard=False, gated=False, unmixed=False))


def _base(trained: Trained) -> Make:
    return lambda device: Fixed(trained.kits.kit.learner, dict)


def _peer(name: str) -> Build:
    def build(trained: Trained) -> Make:
        kind = catalog.load("methods", name)
        return lambda device: kind(trained.suite.static, device, **trained.chosen.get(name, {}))

    return build


def cema_row(trained: Trained, device: int, setting: Mapping[str, Any]) -> Cema:
    """Return the peer whose cloud has a larger net; SpecError where that was not trained."""
    if trained.teacher is None:
        raise SpecError("the larger net of CEMA's cloud was not trained for this run; leave row 'cema' out")
    return Cema(trained.suite.static, trained.teacher, device, **setting)


def _cema(trained: Trained) -> Make:
    return lambda device: cema_row(trained, device, trained.chosen.get("cema", {}))


def _wider(trained: Trained) -> Make:
    wider = trained.suite.wider
    if wider is None:
        raise SpecError("the net with a wider head was not trained for this seed; leave its row out")
    return lambda device: Static(wider, device)


def _windowed(trained: Trained, name: str) -> Any:
    if name not in trained.suite.windowed:
        raise SpecError(f"row {name!r} was not trained, since it does not suit this net; leave it out")
    return trained.suite.windowed[name]


def _arm_bn(trained: Trained) -> Make:
    net: ArmBn = _windowed(trained, "arm-bn")
    return lambda device: ArmBnMethod(net, trained.suite.static)


def _arm_cml(trained: Trained) -> Make:
    net: ArmCml = _windowed(trained, "arm-cml")
    return lambda device: ArmCmlMethod(net)


def _duet(trained: Trained) -> Make:
    net: Duet = _windowed(trained, "duet")
    return lambda device: DuetMethod(net)


OURS: Mapping[str, Build] = {
    "persona": _ours(Options()),
    "persona-no-prior": _ours(PLAIN),
    "persona-no-guard": _ours(Options(guard=False)),
    "persona-one-window": _ours(Options(memory=1)),
    "persona-no-mixture-test": _ours(Options(unmixed=False)),
    "persona-k16": _prototypes(16, Options()),
    "persona-k64": _prototypes(64, Options()),
    **{f"persona-k{k}-no-prior": _prototypes(k) for k in (1, 2, 4, 8, 16, 32, 64)},
    **{f"persona-delay-{delay}": _ours(Options(delay=delay)) for delay in DELAYS},
    "local-part-alone": _ours(replace(PLAIN, learned=False)),
    "learned-part-alone": _ours(replace(PLAIN, local=False)),
}
CONTROLS: Mapping[str, Build] = {
    "base": _base,
    "wider-head": _wider,
    "mean-edit": _mean_edit,
    "shuffled-edit": _shuffled_edit,
    "zero-context": _zero_context,
    "constant-edit": _constant,
}
TRAINED_PEERS: Mapping[str, Build] = {"arm-bn": _arm_bn, "arm-cml": _arm_cml, "duet": _duet, "cema": _cema}
# Rows whose net no other row reads: it is trained where they are run.
NET_OF: Mapping[str, str] = {
    "wider-head": "wider", "constant-edit": "constant", "arm-bn": "arm-bn", "arm-cml": "arm-cml", "duet": "duet",
}  # fmt: skip


def build(name: str) -> Build:
    """Return how a row is made: ours, a control, a trained peer, or a method of the catalogue or ``module:Class``.

    CatalogError for a name that stands for nothing.
    """
    for group in (OURS, CONTROLS, TRAINED_PEERS):
        if name in group:
            return group[name]
    if ":" not in name and name not in catalog.names("methods"):
        known = sorted({*OURS, *CONTROLS, *TRAINED_PEERS, *catalog.names("methods")})
        raise CatalogError(f"there is no row {name!r}; there are {', '.join(known)}, or name it as module:Class")
    return _peer(name)


def traffic_of(name: str, trained: Trained, window: Tensor) -> Traffic:
    """Return what a row sends and receives for a window; nothing for what runs on the device alone."""
    kit = trained.kits.kit
    if name in OURS and name != "local-part-alone":
        if "-k" in name:
            return prototype_traffic(kit.sketch.n_features, len(window))
        return sketch_traffic(kit.sketch.n_features, kit.bank.code_shape, len(window))
    if name == "cema":
        norms = sum(parameter.numel() for parameter in affine_parameters(trained.suite.static))
        return cema_traffic(cema_row(trained, 0, {}), window, norms)
    return Traffic()


# Rows that take many passes a window: they are run on the first training and stream seed alone, and in two settings.
SLOW = ("cotta", "foa", "cema", "finetune")
WHOLE = ("iid-seen", "skew-seen")
KEY = ("persona", "persona-no-prior", "persona-k16", "persona-k64", "local-part-alone")
FEW = ("static", "alpha-bn", "persona")
# What is run where the question is another than which of the peers is best.
SHORT = (
    "static",
    "alpha-bn",
    "bn-prior",
    "tent",
    "rotta",
    "roid",
    "lame",
    "arm-bn",
    "mean-edit",
    "persona-no-prior",
    "persona-no-mixture-test",
    "persona",
)


def rows_of(setting: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the rows of a setting where none are named: those of all seeds, and those of the first ones alone.

    All of them under seen shifts; every fast peer, every control and the main ones of ours in the other main settings;
    a choice of them elsewhere, and three where devices meet a single family.
    """
    if setting.startswith("family-"):
        return FEW, ()
    if setting not in MAIN:
        return SHORT, ()
    fast = tuple(row for row in (*catalog.names("methods"), *TRAINED_PEERS) if row not in SLOW)
    if setting in WHOLE:
        return (*fast, *CONTROLS, *OURS), SLOW
    return (*fast, *CONTROLS, *KEY), ()
