"""What ablations change, one thing at a time: groups of choices, the first of each being what our row does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from persona.training.loop import AdapterConfig
from persona.training.recipe import Recipe

DEFAULT = "default"


@dataclass(frozen=True)
class Choice:
    """Changes to the recipe and to the way of training, by field; none for what our row does."""

    recipe: Mapping[str, object] | None = None
    config: Mapping[str, object] | None = None
    unedited: float | None = None
    prototype_share: float | None = None

    @property
    def is_default(self) -> bool:
        """Whether nothing is changed."""
        return self == Choice()

    def apply(self, recipe: Recipe, config: AdapterConfig) -> tuple[Recipe, AdapterConfig]:
        """Return recipe and configuration with the changes."""
        weights = config.weights
        if self.unedited is not None:
            weights = replace(weights, unedited=self.unedited)
        if self.prototype_share is not None:
            weights = replace(weights, prototype_share=self.prototype_share)
        changed = replace(config, weights=weights, **(self.config or {}))  # type: ignore[arg-type]
        return replace(recipe, **(self.recipe or {})), changed  # type: ignore[arg-type]


def _recipes(field: str, *values: object) -> dict[str, Choice]:
    return {str(value): Choice({field: value}) for value in values}


GROUPS: Mapping[str, Mapping[str, Choice]] = {
    "transfer": {"shared": Choice(), **_recipes("transfer", "autoregressive", "stacked", "attention", "none")},
    "context": {
        "sketch": Choice(),
        **_recipes("encoder", "images", "both"),
        "sketch-without-grid": Choice({"grid": 0}),
    },
    "decoder": {
        "basis": Choice(),
        **{f"kernel-rank-{rank}": Choice({"decoder": "kernel", "rank": rank}) for rank in (1, 4, 8)},
        "basis-norms-and-head": Choice({"editable": ("*norm*", "head")}),
    },
    "code": {"16": Choice(), **_recipes("code", 4, 8, 32, 64)},
    "edit dropout": {"0.3": Choice(), "0": Choice(unedited=0.0)},
    "prototypes in training": {"0.1": Choice(), "0": Choice(prototype_share=0.0)},
    "base": {"joint": Choice(), "frozen": Choice(config={"base": "frozen"})},
    "own statistics": {"on": Choice(), "off": Choice(config={"renorm": False})},
}
