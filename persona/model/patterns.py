"""Patterns on module names → layers that can be edited."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from torch import nn

from persona.errors import SpecError
from persona.model.layers import EDITABLE, EditableBatchNorm2d


def find_layers(module: nn.Module, patterns: Sequence[str]) -> dict[str, str]:
    """Return {name: kind} of the layers that the patterns name, in the order of registration.

    Containers and layers without parameters that a pattern also matches are passed over. SpecError where a pattern
    matches no editable layer, or matches a layer with parameters of a kind that cannot be edited.
    """
    leaves = find_leaves(module)
    found: dict[str, str] = {}
    for pattern in patterns:
        matches = [name for name in leaves if fnmatchcase(name, pattern)]
        kinds = {name: _kind(name, leaves[name]) for name in matches if any(True for _ in leaves[name].parameters())}
        if not kinds:
            raise SpecError(_no_match(pattern, matches, leaves))
        found.update(kinds)
    return {name: found[name] for name in leaves if name in found}


def find_leaves(module: nn.Module) -> dict[str, nn.Module]:
    """Return {name: module} of the submodules that have none of their own; a shared one stands under its first name."""
    children = ((name, child) for name, child in module.named_modules() if name)
    return {name: child for name, child in children if not any(True for _ in child.children())}


def check_taking_part(patterns: Sequence[str], layers: Mapping[str, str], order: Sequence[str]) -> None:
    """Raise SpecError for a pattern none of whose layers is called in a forward pass, whose order is given."""
    for pattern in patterns:
        if not any(name in layers and fnmatchcase(name, pattern) for name in order):
            raise SpecError(
                f"no layer matching {pattern!r} takes part in a forward pass, or its weight is read past it; "
                f"name layers that the module calls"
            )


def make_editable(module: nn.Module, layers: Mapping[str, str]) -> None:
    """Replace the named layers of a module, in place, by editable ones that share their parameters and buffers."""
    for name in layers:
        layer = module.get_submodule(name)
        for plain, (editable, _) in EDITABLE.items():
            if type(layer) is plain:
                # The editable class adds a forward and nothing else, so the state stays as it is.
                layer.__class__ = editable
                if editable is EditableBatchNorm2d:
                    layer.register_buffer("own_share", None, persistent=False)


def _kind(name: str, layer: nn.Module) -> str:
    for plain, (editable, kind) in EDITABLE.items():
        if type(layer) in (plain, editable):
            return kind
    kinds = ", ".join(plain.__name__ for plain in EDITABLE)
    raise SpecError(f"layer {name!r} is a {type(layer).__name__}, which cannot be edited; wanted one of {kinds}")


def _no_match(pattern: str, matches: Sequence[str], leaves: Mapping[str, nn.Module]) -> str:
    if matches:
        kind = type(leaves[matches[0]]).__name__
        return f"pattern {pattern!r} matches {matches[0]!r}, a {kind} without parameters: there is nothing to edit"
    weighty = ((name, layer) for name, layer in leaves.items() if any(True for _ in layer.parameters()))
    editable = [name for name, layer in weighty if type(layer) in EDITABLE]
    offered = ", ".join(editable[:12]) or "none"
    return f"pattern {pattern!r} matches no layer of this model; layers that can be edited: {offered}"
