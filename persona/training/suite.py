"""One training seed's nets for a comparison: a shared start, then the same number of steps for each of them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import nn

from persona.baselines.arm_bn import ArmBn
from persona.baselines.arm_cml import ArmCml
from persona.baselines.duet import Duet
from persona.baselines.wider_head import WiderHead
from persona.errors import SpecError, TrainingError
from persona.files import write_whole
from persona.tasks.base import Task
from persona.training.checkpoint import FACTS_FILE, Run, load_run, save_run
from persona.training.loop import AdapterConfig, History, Progress, Schedule, seeded, train_adapter, train_base
from persona.training.recipe import Recipe
from persona.training.step import Learner, LossWeights
from persona.training.windows import train_windows

Phases = Callable[[str], Progress | None]
Extra = Callable[[nn.Module], nn.Module]
Train = Callable[[nn.Module, str, Schedule], object]

WINDOWED: Mapping[str, Extra] = {"arm-bn": ArmBn, "arm-cml": ArmCml, "duet": Duet}
# What one training seed is made of, after the base that all of it starts from.
NETS = ("learner", "constant", "static", "wider", *WINDOWED)


@dataclass(frozen=True)
class SuiteBudget:
    """Steps of the shared start; of the plain part of an adapter's way and of the adapter itself; of each other net.

    A step of an adapter costs about 1.5 plain ones: `peer_steps` gives the others as much time. Learning rates of the
    start, of plain nets after it, of peers that read whole windows and of adapters: for plain nets the best of 5e-3 to
    4e-2 on validation streams, for adapters of 5e-3 and 1e-2.
    """

    base_steps: int
    warm_steps: int
    steps: int
    peer_steps: int
    seed: int
    base_rate: float = 1e-2
    plain_rate: float = 4e-2
    windowed_rate: float = 2e-2
    rate: float = 5e-3


@dataclass(frozen=True)
class Suite:
    """`static` went on as it was; `windowed` are peers that read whole windows.

    The controls `wider`, with more parameters, and `constant`, one edit for everybody, are None where left out.
    """

    base: nn.Module
    static: nn.Module
    learner: Learner
    wider: nn.Module | None
    constant: Learner | None
    windowed: Mapping[str, nn.Module]


@dataclass(frozen=True)
class Workshop:
    """Where and by what nets are trained: task, recipe, budget, the folder that keeps them, and who is told."""

    task: Task
    recipe: Recipe
    budget: SuiteBudget
    folder: Path
    phases: Phases

    def base(self) -> nn.Module:
        """Return the net that every other one starts from."""
        budget = self.budget
        schedule = Schedule(budget.base_steps, budget.base_rate, seed=budget.seed)
        return self._kept("base", _seeded(self.recipe.build_base, budget.seed), schedule)

    def net(self, name: str) -> None:
        """Train one of `NETS` and keep it, where that is not done.

        SpecError where it does not suit the base, TrainingError for a name that stands for none.
        """
        if name not in NETS:
            raise TrainingError(f"a seed has no net {name!r}; there are {', '.join(NETS)}")
        if name == "static":
            self.static()
        elif name == "wider":
            self.wider()
        elif name in WINDOWED:
            self.windowed(name)
        else:
            self.learner(name)

    def learner(self, name: str = "learner") -> Learner:
        """Return our adapter, or by the name "constant" the control: one edit for everybody, learned the same way."""
        own = self.config()
        if name == "constant":
            own = replace(own, renorm=False, blind=True, weights=LossWeights(unedited=0.3))
        return self.adapter(name, self.recipe, own)

    def warm(self) -> nn.Module:
        """Return the plain net that adapters start from."""
        schedule = replace(self._onward(self.budget.plain_rate), steps=self.budget.warm_steps)
        return self._kept("warm", self.base(), schedule)

    def static(self) -> nn.Module:
        """Return the plain net."""
        return self.plain("static", copy.deepcopy)

    def wider(self) -> nn.Module:
        """Return the plain net with as many parameters more as our adapter has."""
        model = self.recipe.build_model(self.base(), self.task.input_shape)
        extra = sum(parameter.numel() for parameter in self.recipe.build_adapter(model).parameters())
        return self.plain("wider", lambda net: WiderHead(net, extra))

    def plain(self, name: str, extend: Extra) -> nn.Module:
        """Return a net that starts from the base and goes on as plain nets do."""
        fresh = _seeded(lambda: extend(self.base()), self.budget.seed)
        return self._kept(name, fresh, self._onward(self.budget.plain_rate))

    def windowed(self, name: str) -> nn.Module:
        """Return a peer that reads whole windows, trained for as long; SpecError where it does not suit the net."""
        fresh = _seeded(lambda: WINDOWED[name](self.base()), self.budget.seed)
        return self._kept(name, fresh, self._onward(self.budget.windowed_rate), windows=True)

    def teacher(self, backbone: str, steps: int) -> nn.Module:
        """Return a larger plain net, trained from its own start."""
        schedule = Schedule(steps, self.budget.base_rate, seed=self.budget.seed)
        larger = Recipe(backbone, classes=self.recipe.classes, channels=self.recipe.channels)
        return self._kept("teacher", _seeded(larger.build_base, self.budget.seed), schedule)

    def adapter(self, name: str, recipe: Recipe, config: AdapterConfig) -> Learner:
        """Return an adapter trained on a copy of the base, or as kept; `config.base` says whether it moves along."""
        folder = self.folder / name
        if (folder / FACTS_FILE).exists():
            return load_run(folder).learner
        base = self.warm()
        model = recipe.build_model(base, self.task.input_shape)
        with seeded(config.schedule.seed):
            adapter = recipe.build_adapter(model)
        learner, history = train_adapter(model, adapter, self.task.training(), config, self.phases(name))
        save_run(folder, Run(recipe, learner, base, _facts(history)))
        return learner

    def config(self) -> AdapterConfig:
        """Return how adapters are trained where nothing else is said."""
        schedule = Schedule(self.budget.steps, self.budget.rate, seed=self.budget.seed + 1)
        return AdapterConfig(schedule, renorm=True, weights=LossWeights(unedited=0.3, partial_share=0.2))

    def _onward(self, rate: float) -> Schedule:
        return Schedule(self.budget.peer_steps, rate, seed=self.budget.seed + 1)

    def _kept(self, name: str, net: nn.Module, schedule: Schedule, *, windows: bool = False) -> nn.Module:
        """Return a net after training, or as kept in the folder."""
        file = (self.folder / name).with_suffix(".safetensors")
        own = copy.deepcopy(net)
        if file.exists():
            try:
                own.load_state_dict(load_file(file))
            except (OSError, RuntimeError, SafetensorError) as error:
                raise TrainingError(f"the net kept in {file} is damaged ({error}); delete the file") from error
        else:
            train = train_windows if windows else train_base
            train(own, self.task.training(), schedule, self.phases(name))
            write_whole(file, save({key: value.contiguous() for key, value in own.state_dict().items()}))
        return own.eval()


def train_suite(shop: Workshop, names: Collection[str] = NETS) -> Suite:
    """Return the nets of one seed, of those named and those that none can do without, trained or read where kept.

    Each net is kept in the folder as soon as it is trained, so that a run that was cut off goes on from there. A peer
    that does not suit the net is left out. TrainingError where a loss is no longer finite or a file is damaged.
    """
    windowed: dict[str, nn.Module] = {}
    for name in (name for name in WINDOWED if name in names):
        try:
            windowed[name] = shop.windowed(name)
        except SpecError:
            continue
    wider = shop.wider() if "wider" in names else None
    constant = shop.learner("constant") if "constant" in names else None
    return Suite(shop.base(), shop.static(), shop.learner(), wider, constant, windowed)


def _facts(history: History) -> dict[str, object]:
    return {"code_shares": history.code_shares, "collapsed": history.collapsed}


def _seeded(build: Callable[[], nn.Module], seed: int) -> nn.Module:
    with seeded(seed):
        return build()
