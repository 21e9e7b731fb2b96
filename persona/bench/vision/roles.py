"""What the rows of a vision table are to one another: ours, controls, the oracle, and the peers, all others."""

from __future__ import annotations

from collections.abc import Iterable

OURS_ROW = "persona"
STATIC = "static"
ORACLE = "finetune"
CONTROLS = ("base", "wider-head", "mean-edit", "shuffled-edit", "zero-context", "constant-edit")
# Peers without which there is no best peer: a target over "every peer" is met only where all of them were run.
WANTED_PEERS = (
    "static", "bn", "alpha-bn", "bn-prior", "tent", "eata", "sar", "cotta", "rotta", "roid", "t3a", "lame", "neo",
    "foa", "arm-bn", "arm-cml", "duet", "cema",
)  # fmt: skip
PARTS = ("local-part-alone", "learned-part-alone")
MAIN = ("iid-seen", "skew-seen", "iid-held", "skew-held", "clean")
CORRUPTED = ("c-continual", "c-mixed", "c-correlated", "c-mixed-correlated")
PROTOTYPES = (1, 2, 4, 8, 16, 32, 64)
PACS = tuple(f"pacs-{target}/mobilenet-v3-small" for target in ("photo", "art_painting", "cartoon", "sketch"))
PRIMARY = "fashion-mnist/cnn-bn"


def is_ours(row: str) -> bool:
    """Return whether a row is the method of this package, whole or in part."""
    return row == OURS_ROW or row.startswith(f"{OURS_ROW}-") or row in PARTS


def is_peer(row: str) -> bool:
    """Return whether a row is somebody else's method without labels, the static nets included."""
    return not is_ours(row) and row not in CONTROLS and row != ORACLE


def label(row: str) -> str:
    """Return a row's name as tables show it."""
    role = " (control)" if row in CONTROLS else " (oracle, labelled)" if row == ORACLE else ""
    return f"`{row}`{role}"


def main_settings(found: Iterable[str]) -> list[str]:
    """Return those of the main settings that are among the ones found, in their order."""
    there = set(found)
    return [setting for setting in MAIN if setting in there]
