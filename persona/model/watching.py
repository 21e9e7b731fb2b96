"""Looking into a forward pass: what flows into which module, without a change to the module."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

# Called with a module's name and the first tensor given to it.
See = Callable[[str, Tensor], None]


@contextmanager
def watching(module: nn.Module, names: Iterable[str], see: See) -> Iterator[None]:
    """Call `see` when a named submodule is first called in a forward pass, before it runs.

    At that moment, not after the pass: a later layer may overwrite its input in place.
    """
    hooks = {name: _FirstInput(name, see) for name in names}
    handles = [
        module.get_submodule(name).register_forward_pre_hook(hook, with_kwargs=True) for name, hook in hooks.items()
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@dataclass
class _FirstInput:
    """The hook of one module."""

    name: str
    see: See
    seen: bool = False

    def __call__(self, _: nn.Module, inputs: tuple[Any, ...], by_name: dict[str, Any]) -> None:
        first = next(iter((*inputs, *by_name.values())), None)
        if not self.seen and isinstance(first, Tensor):
            self.seen = True
            self.see(self.name, first)


@contextmanager
def in_eval_mode(module: nn.Module) -> Iterator[None]:
    """Hold a module in evaluation mode; afterwards every submodule is back in its own mode."""
    modes = {child: child.training for child in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for child, training in modes.items():
            child.training = training
