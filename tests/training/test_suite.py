"""The nets of one training seed: one start for all, each trained by its own loop, kept and never trained again."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from persona.errors import TrainingError
from persona.training.checkpoint import load_run
from persona.training.loop import Progress, Schedule, train_adapter, train_base
from persona.training.recipe import Recipe
from persona.training.suite import NETS, Suite, SuiteBudget, Workshop, train_suite
from tests.tiny_task import CLASSES, TinyTask

BUDGET = SuiteBudget(base_steps=2, warm_steps=2, steps=3, peer_steps=4, seed=5)
RECIPE = Recipe(editable=("conv*", "norm*", "head"), decoder="basis", noise=0.5, grid=8, classes=CLASSES)


@dataclass
class Heard:
    """Notes the names of what is trained, a step each."""

    steps: list[str] = field(default_factory=list)

    def phase(self, name: str) -> Progress:
        return lambda step, steps, loss: self.steps.append(name)


def shop_in(folder: Path, heard: Heard | None = None, recipe: Recipe = RECIPE) -> Workshop:
    task = TinyTask()
    task.tasks = 4
    return Workshop(task, recipe, BUDGET, folder, (heard or Heard()).phase)


@dataclass(frozen=True)
class Trained:
    """A suite, the shop that trained it, and the steps it told of."""

    shop: Workshop
    suite: Suite
    steps: list[str]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    heard = Heard()
    shop = shop_in(tmp_path_factory.mktemp("nets"), heard)
    return Trained(shop, train_suite(shop), list(heard.steps))


def same(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def nets_of(suite: Suite) -> dict[str, nn.Module]:
    """Return all modules of a suite by name."""
    assert suite.wider is not None
    assert suite.constant is not None
    return {
        "base": suite.base, "static": suite.static, "wider": suite.wider,
        "model": suite.learner.model, "adapter": suite.learner.adapter,
        "constant model": suite.constant.model, "constant adapter": suite.constant.adapter, **suite.windowed,
    }  # fmt: skip


def test_each_net_is_trained_once_for_its_own_steps(trained: Trained) -> None:
    counted = {name: trained.steps.count(name) for name in dict.fromkeys(trained.steps)}
    peers = dict.fromkeys(("arm-bn", "arm-cml", "duet", "static", "wider"), 4)
    assert counted == {"base": 2, "warm": 2, "learner": 3, "constant": 3, **peers}
    assert set(counted) == {"base", "warm", *NETS}
    assert not any(net.training for net in nets_of(trained.suite).values())


def test_what_is_kept_is_read_and_not_trained_again(trained: Trained) -> None:
    files = sorted(path for path in trained.shop.folder.rglob("*") if path.is_file())
    before = [file.stat().st_mtime_ns for file in files]
    heard = Heard()
    again = nets_of(train_suite(shop_in(trained.shop.folder, heard)))
    assert heard.steps == []
    assert [file.stat().st_mtime_ns for file in files] == before
    for name, net in nets_of(trained.suite).items():
        assert same(net.state_dict(), again[name].state_dict()), name


def test_the_base_is_trained_as_by_hand(trained: Trained) -> None:
    torch.manual_seed(BUDGET.seed)
    net = RECIPE.build_base()
    train_base(net, trained.shop.task.training(), Schedule(2, BUDGET.base_rate, seed=BUDGET.seed))
    assert same(net.state_dict(), trained.suite.base.state_dict())


def test_the_static_net_goes_on_from_the_base_as_training_it_by_hand_does(trained: Trained) -> None:
    net = copy.deepcopy(trained.suite.base)
    train_base(net, trained.shop.task.training(), Schedule(4, BUDGET.plain_rate, seed=BUDGET.seed + 1))
    assert same(net.state_dict(), trained.suite.static.state_dict())
    assert not same(trained.suite.base.state_dict(), trained.suite.static.state_dict())


def test_adapters_start_from_the_base_gone_on_as_a_plain_net(trained: Trained) -> None:
    warm = copy.deepcopy(trained.suite.base)
    train_base(warm, trained.shop.task.training(), Schedule(2, BUDGET.plain_rate, seed=BUDGET.seed + 1))
    assert same(warm.state_dict(), trained.shop.warm().state_dict())
    for name in ("learner", "constant"):
        assert same(load_run(trained.shop.folder / name).static.state_dict(), warm.state_dict()), name


def test_the_learner_is_trained_from_the_warm_net_as_by_hand(trained: Trained) -> None:
    task, config = trained.shop.task, trained.shop.config()
    model = RECIPE.build_model(trained.shop.warm(), task.input_shape)
    torch.manual_seed(config.schedule.seed)
    learner, _ = train_adapter(model, RECIPE.build_adapter(model), task.training(), config)
    assert same(learner.model.state_dict(), trained.suite.learner.model.state_dict())
    assert same(learner.adapter.state_dict(), trained.suite.learner.adapter.state_dict())


def test_nets_that_are_not_named_are_left_out(tmp_path: Path) -> None:
    heard = Heard()
    suite = train_suite(shop_in(tmp_path, heard), ["duet"])
    assert (suite.wider, suite.constant, set(suite.windowed)) == (None, None, {"duet"})
    assert set(heard.steps) == {"base", "warm", "learner", "static", "duet"}, "the learner and the plain net always are"


def test_a_net_is_the_same_whichever_was_trained_before_it(trained: Trained, tmp_path: Path) -> None:
    """The wider head draws its hidden layer, and here trains the base on the way."""
    alone = shop_in(tmp_path).wider()
    assert same(alone.state_dict(), nets_of(trained.suite)["wider"].state_dict())


def test_the_wider_net_has_as_many_parameters_more_as_the_adapter(trained: Trained) -> None:
    suite = trained.suite
    sizes = {name: sum(p.numel() for p in net.parameters()) for name, net in nets_of(suite).items()}
    wanted, found = sizes["adapter"], sizes["wider"] - sizes["base"]
    assert wanted - (64 + CLASSES + 1) < found <= wanted, "to within one hidden unit of the head's 64 features"


def test_the_constant_control_is_told_nothing(trained: Trained) -> None:
    ours, control = trained.suite.learner, trained.suite.constant
    assert control is not None
    assert (ours.blind, control.blind) == (False, True)
    assert ours.renorm is not None
    assert control.renorm is None
    support = torch.rand(3, 8, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for learner, alike in ((ours, False), (control, True)):
            codes = learner.see(support * torch.tensor([0.1, 0.5, 1.0]).reshape(3, 1, 1, 1, 1)).codes
            assert torch.allclose(codes, codes[:1].expand_as(codes), atol=1e-6) == alike


def test_the_learner_is_told_of_its_collapse(trained: Trained) -> None:
    facts = load_run(trained.shop.folder / "learner").facts
    assert sum(facts["code_shares"]) == pytest.approx(1)
    assert facts["collapsed"] == (facts["code_shares"][0] > 0.7)


@pytest.mark.parametrize("content", [b"", b"nonsense"])
def test_a_damaged_net_is_told_by_its_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "base.safetensors").write_bytes(content)
    with pytest.raises(TrainingError, match=r"base\.safetensors is damaged .*; delete the file"):
        shop_in(tmp_path).base()


def test_the_net_of_another_backbone_is_told(trained: Trained) -> None:
    other = replace(trained.shop, recipe=Recipe("cnn-bn", classes=CLASSES + 1))
    with pytest.raises(TrainingError, match=r"base\.safetensors is damaged"):
        other.base()


def test_a_peer_that_does_not_suit_the_net_is_left_out(tmp_path: Path) -> None:
    """ARM-BN adapts batch normalisation, and this net has none."""
    suite = train_suite(shop_in(tmp_path, recipe=replace(RECIPE, backbone="cnn-gn", decoder="kernel", rank=1)))
    assert set(suite.windowed) == {"arm-cml", "duet"}
    assert not (tmp_path / "arm-bn.safetensors").exists()


@pytest.mark.parametrize("name", ["static", "arm-cml", "constant"])
def test_one_net_can_be_asked_for_by_name(trained: Trained, tmp_path: Path, name: str) -> None:
    shop = shop_in(tmp_path)
    shop.net(name)
    kept = {path.name.partition(".")[0] for path in tmp_path.iterdir()}
    assert kept == {"base", name} | ({"warm"} if name == "constant" else set())


def test_the_teacher_starts_from_weights_of_its_own(tmp_path: Path) -> None:
    heard = Heard()
    teacher = shop_in(tmp_path, heard).teacher("cnn-gn", 2)
    assert heard.steps == ["teacher"] * 2
    assert teacher(torch.zeros(1, 1, 8, 8)).shape == (1, CLASSES)
    assert [type(m) for m in teacher.modules() if isinstance(m, nn.GroupNorm)]


def test_a_name_that_stands_for_no_net_is_told(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no net 'teachr'"):
        shop_in(tmp_path).net("teachr")
    assert not list(tmp_path.iterdir())
