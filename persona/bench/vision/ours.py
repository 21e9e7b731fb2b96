"""Our rows: an adapter's edits over one stream, whole, by prototype, late, with the prior term, and the controls."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from persona.bank import Bank
from persona.edit import Array
from persona.errors import DataError
from persona.gate import SketchGate
from persona.jump import JumpSpec
from persona.mixture import MixtureTest
from persona.prior import PriorNet, PriorState, class_features
from persona.sketch import Sketch, SketchSpec
from persona.training.step import Learner

Deltas = Mapping[str, Tensor]
# A code (n, d) as the cloud sends it back: whole, or its prototype alone.
Reply = Callable[[Array], Array]


@dataclass(frozen=True)
class Options:
    """How a row runs. `reply` is what the cloud makes of a code; `delay` in windows; `guard` follows jumps.

    `unmixed` turns the whole edit down where a window is of several domains.
    `memory` is how many windows of one domain a sketch is made of. `gated` turns the learned edit down where the sketch
    is unlike those of training. `local` False leaves out what the device works out by itself, `learned` False what the
    cloud says.
    """

    reply: Reply = field(default=lambda code: code)
    delay: int = 1
    guard: bool = True
    prior: bool = True
    memory: int = 4
    gated: bool = True
    unmixed: bool = True
    local: bool = True
    learned: bool = True


@dataclass(frozen=True, eq=False)
class Kit:
    """What a device holds beside the learner: sketch, tests of jumps and mixtures, prototypes, prior term, gate."""

    learner: Learner
    sketch: SketchSpec
    jump: JumpSpec
    bank: Bank
    prior: PriorNet
    gate: SketchGate
    mixture: MixtureTest | None = None


@dataclass(frozen=True, eq=False)
class _Look:
    """What one window says under base weights: its sketch, the first tap's alone, and how much of one domain it is."""

    window: Sketch
    first: Sketch
    unity: float


class Persona:
    """One device. `step` predicts a window with the edit that the window itself asked for; `answer` with an older one.

    Between windows the guard compares the first tap's statistics: after a jump the nearest prototype on the device
    answers, until the cloud's reply for the new domain arrives.
    """

    def __init__(self, kit: Kit, options: Options = Options()) -> None:
        self._kit, self._options = kit, options
        self._arrived: Deltas | None = None  # what the cloud said last, and
        self._in_force: Deltas | None = None  # that with the device's own statistics of the last window
        self._coming: deque[Deltas] = deque()
        self._last: Sketch | None = None
        self._windows: deque[Sketch] = deque(maxlen=options.memory)
        self._prior = PriorState.empty(kit.learner.model.n_classes)

    @torch.no_grad()
    def step(self, x: Tensor) -> Tensor:
        """Answer (N, C) with the edit of this very window, and send for it; DataError where no sample is whole."""
        look = self._look(x)
        if self._has_jumped(look):
            self._start_over(look)
        self._windows.append(look.window)
        sketch = self._remembered()
        learned = self._learned(self._options.reply(self._code(sketch, x)), sketch)
        self._coming.append(learned)
        if len(self._coming) >= self._options.delay:
            self._arrived = self._coming.popleft()
        logits, settled = self._run(x, learned, look.unity)
        if self._arrived is learned:
            self._in_force = settled
        elif self._arrived is not None:
            self._in_force = self._run(x, self._arrived, look.unity)[1]
        self._last = look.first
        self._prior, biased = self._with_prior(self._prior, logits, sketch)
        return biased

    @torch.no_grad()
    def answer(self, x: Tensor) -> Tensor:
        """Answer (N, C) with the edit in force, or after a jump with the nearest prototype; errors as in `step`."""
        look = self._look(x)
        prior = self._prior
        if self._in_force is None or self._has_jumped(look):
            logits, _ = self._run(x, self._nearest(look), look.unity)
            return self._with_prior(PriorState.empty(len(prior.em)), logits, look.window)[1]
        logits = self._kit.learner.model(x, self._in_force).logits
        return self._with_prior(prior, logits, self._remembered())[1]

    def _look(self, x: Tensor) -> _Look:
        logits, moments = self._kit.learner.model(x)
        window = Sketch.of(self._kit.sketch, moments.numpy(), logits.numpy())
        if window.count < len(x) or not window.count:
            raise DataError(f"{len(x) - window.count} of a window's {len(x)} samples are not finite; leave those out")
        width = self._kit.sketch.taps[0].width
        first = Sketch(window.count, window.moments[:width], np.zeros(0))
        test = self._kit.mixture if self._options.unmixed else None
        return _Look(window, first, 1.0 if test is None else test.share(moments.numpy()))

    def _has_jumped(self, look: _Look) -> bool:
        if not self._options.guard or self._last is None:
            return False
        spec = SketchSpec.unscaled(self._kit.sketch.taps[:1], 0)
        return self._kit.jump.jumped(spec, self._last, look.first)

    def _start_over(self, look: _Look) -> None:
        self._coming.clear()
        self._windows.clear()
        self._arrived = self._nearest(look)
        self._prior = PriorState.empty(len(self._prior.em))

    def _remembered(self) -> Sketch:
        sketch = Sketch.empty(self._kit.sketch)
        for window in self._windows:
            sketch = sketch.merge(window)
        return sketch

    def _code(self, sketch: Sketch, x: Tensor) -> Array:
        learner = self._kit.learner
        if learner.adapter.context != "sketch":
            return learner.see(x.unsqueeze(0)).codes[0].numpy()
        features = np.zeros_like(self._kit.sketch.center) if learner.blind else sketch.features(self._kit.sketch)
        return learner.adapter.codes(torch.from_numpy(features).unsqueeze(0))[0].numpy()

    def _nearest(self, look: _Look) -> Deltas:
        if not self._options.guard:
            return {}
        features = look.window.features(self._kit.sketch)
        return self._learned(self._kit.bank.codes[self._kit.bank.nearest(features)], look.window)

    def _learned(self, code: Array, sketch: Sketch) -> Deltas:
        if not self._options.learned:
            return {}
        strengths = torch.tensor([self._familiarity(sketch)]) if self._options.gated else None
        return self._kit.learner.learned(torch.from_numpy(code).unsqueeze(0), strengths)

    def _run(self, x: Tensor, learned: Deltas, unity: float) -> tuple[Tensor, Deltas]:
        """Return a window's logits under an edit, and the edit with the window's own statistics settled in.

        Both are turned down, to the base model in the end, where the window is of several domains.
        """
        learner = self._kit.learner
        if self._options.local:
            output = learner.run(x, learned)
            settled: Deltas = learner.settle(output.moments, learned, 1)
        else:
            output, settled = learner.model(x, learned), learned
        if unity == 1:
            return output.logits, settled
        settled = {name: delta * unity for name, delta in settled.items()}
        return learner.model(x, settled).logits, settled

    def _familiarity(self, sketch: Sketch) -> float:
        return self._kit.gate.weight(sketch.features(self._kit.sketch))

    def _with_prior(self, state: PriorState, logits: Tensor, sketch: Sketch) -> tuple[PriorState, Tensor]:
        if not self._options.prior:
            return state, logits
        rows = logits.numpy()
        after = state.after(rows)
        weight = np.float32(self._familiarity(sketch))
        return after, logits + torch.from_numpy(self._kit.prior.bias(class_features(after, rows)) * weight)


class Fixed:
    """Every window under deltas that are drawn anew for each, whatever the window: the controls' way."""

    def __init__(self, learner: Learner, draw: Callable[[], Deltas]) -> None:
        self._learner, self._draw = learner, draw

    @torch.no_grad()
    def step(self, x: Tensor) -> Tensor:
        """Answer (N, C) under a draw."""
        return self.answer(x)

    @torch.no_grad()
    def answer(self, x: Tensor) -> Tensor:
        """Answer (N, C) under a draw."""
        logits: Tensor = self._learner.model(x, self._draw()).logits
        return logits


class Edited:
    """A learner's edit of each window from that window alone, and nothing else: what ablations compare."""

    def __init__(self, learner: Learner) -> None:
        self._learner = learner
        self._edit: Deltas = {}

    @torch.no_grad()
    def step(self, x: Tensor) -> Tensor:
        """Answer (N, C) with the edit of this very window."""
        learned = self._learner.learned(self._learner.see(x.unsqueeze(0)).codes)
        output = self._learner.run(x, learned)
        self._edit = self._learner.settle(output.moments, learned, 1)
        return output.logits

    @torch.no_grad()
    def answer(self, x: Tensor) -> Tensor:
        """Answer (N, C) with the edit of the last window, before the first one without."""
        logits: Tensor = self._learner.model(x, self._edit).logits
        return logits
