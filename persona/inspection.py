"""What is in a bundle, as facts and as tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from rich.markup import escape
from rich.table import Table

from persona.bundle import Bundle

_NUMBERS = ("bytes", "bound", "training windows", "norm of its edit")


def facts_of(bundle: Bundle) -> dict[str, Any]:
    """Return layers, sizes, prototypes and fingerprint as plain values.

    `parts` holds renorm, gate, prior, tether, mixture and encoder, each where the bundle has it: per layer its name,
    channels and strength α; the gate's directions and the distances of full and of no weight; the prior's hidden units
    and parameters; the tether's limits and default; what the mixture test reads and its limits; the encoder's bytes.
    """
    decoder_bytes = sum(array.nbytes for array in bundle.decoder.to_arrays().values())
    bank_bytes = sum(array.nbytes for array in bundle.bank.to_arrays().values())
    edits = [bundle.decoder.decode(code) for code in bundle.bank.codes]
    return {
        "fingerprint": bundle.fingerprint,
        "context": bundle.context,
        "input_shape": list(bundle.input_shape),
        "code_shape": list(bundle.decoder.code_shape),
        "support": list(bundle.support),
        "features": bundle.sketch.n_features,
        "taps": [{"name": t.name, "channels": t.channels, "order": t.order} for t in bundle.sketch.taps],
        "jump": {"threshold": bundle.jump.threshold, "window": bundle.jump.window},
        "layers": [
            {
                "name": layer.name,
                "kind": layer.kind,
                "tensors": [{"name": t.name, "shape": list(t.shape), "bound": t.bound} for t in layer.tensors],
            }
            for layer in bundle.spec.layers
        ],
        "bytes": {
            "file": len(bundle.to_bytes()),
            "graph": len(bundle.graph),
            "decoder": decoder_bytes,
            "bank": bank_bytes,
            "edit": edits[0].size_bytes,
        },
        "bank": {
            "version": bundle.bank.version,
            "prototypes": [
                {"prototype": k, "windows": int(count), "edit_norm": _norm(edit)}
                for k, (count, edit) in enumerate(zip(bundle.bank.counts, edits, strict=True))
            ],
        },
        "parts": _parts(bundle),
        "about": dict(bundle.about),
    }


def tables_of(facts: Mapping[str, Any]) -> list[Table]:
    """Return the facts as tables for a terminal."""
    head = _table("Bundle", "what", "value")
    head.add_row("input", str(tuple(facts["input_shape"])))
    head.add_row("adapter reads", f"{facts['context']} of {facts['support'][0]} to {facts['support'][1]} samples")
    head.add_row("sketch", f"{facts['features']} features from {escape(', '.join(t['name'] for t in facts['taps']))}")
    head.add_row("code", f"{facts['code_shape'][0]} × {facts['code_shape'][1]}")
    head.add_row("jump test", f"windows of {facts['jump']['window']}, threshold {facts['jump']['threshold']:.2f}")

    layers = _table("Editable layers", "layer", "kind", "tensor", "shape", "bound")
    for layer in facts["layers"]:
        for tensor in layer["tensors"]:
            shape = " × ".join(map(str, tensor["shape"]))
            layers.add_row(
                escape(layer["name"]), layer["kind"], escape(tensor["name"]), shape, f"{tensor['bound']:.4g}"
            )

    sizes = _table("Sizes", "part", "bytes")
    for name, value in facts["bytes"].items():
        sizes.add_row(name, f"{value:,}")

    bank = _table(f"Bank, version {facts['bank']['version']}", "prototype", "training windows", "norm of its edit")
    for row in facts["bank"]["prototypes"]:
        bank.add_row(str(row["prototype"]), str(row["windows"]), f"{row['edit_norm']:.3f}")
    return [head, layers, sizes, bank, *_parts_tables(facts["parts"])]


def _parts(bundle: Bundle) -> dict[str, Any]:
    parts: dict[str, Any] = {}
    if bundle.renorm is not None:
        rows = bundle.renorm.layers
        parts["renorm"] = [{"name": r.name, "channels": r.mean.size, "strength": r.strength} for r in rows]
    if bundle.gate is not None:
        full, none = (float(limit) for limit in bundle.gate.limits[2:])
        parts["gate"] = {"directions": len(bundle.gate.directions), "full": full, "none": none}
    if bundle.prior is not None:
        arrays = bundle.prior.arrays
        parts["prior"] = {"hidden": arrays["b1"].size, "parameters": sum(array.size for array in arrays.values())}
    if bundle.ranking is not None:
        parts["ranking"] = bundle.ranking.to_json()
    if bundle.tether is not None:
        parts["tether"] = {name: vars(getattr(bundle.tether, name)) for name in ("usual", "most")}
        parts["tether"]["default"] = bundle.tether.default
    if bundle.mixture is not None:
        parts["mixture"] = {"moments": bundle.mixture.center.size, "limits": bundle.mixture.limits.tolist()}
    if bundle.encoder is not None:
        parts["encoder"] = {"bytes": len(bundle.encoder)}
    return parts


def _parts_tables(parts: Mapping[str, Any]) -> list[Table]:
    """Return one table of what the device does by itself, and none where it does nothing."""
    table = _table("By the device itself", "part", "what it does")
    for row in parts.get("renorm", ()):
        said = f"{row['strength']:.0%} of own statistics, {row['channels']} channels"
        table.add_row(f"renorm {escape(row['name'])}", said)
    if "gate" in parts:
        gate = parts["gate"]
        said = f"edits whole up to distance {gate['full']:.3g}, none from {gate['none']:.3g} on"
        table.add_row("gate", f"{said}; {gate['directions']} directions")
    if "prior" in parts:
        prior = parts["prior"]
        table.add_row("prior", f"a bias a class, {prior['hidden']} hidden units, {prior['parameters']:,} parameters")
    if "ranking" in parts:
        ranking = parts["ranking"]
        said = f"{ranking['items']:,} items by {ranking['width']} numbers, file {ranking['fingerprint'][:12]}"
        table.add_row("ranking", said)
    if "tether" in parts:
        most = parts["tether"]["most"]
        said = f"answers up to {most['code']:.3g} from its own map's, that change {most['flips']:.0%} at most"
        table.add_row("tether", said)
    if "mixture" in parts:
        low, high = parts["mixture"]["limits"]
        said = f"edits whole up to score {low:.3g}, none from {high:.3g} on; {parts['mixture']['moments']} moments"
        table.add_row("mixture test", said)
    if "encoder" in parts:
        table.add_row("encoder", f"the adapter itself, {parts['encoder']['bytes']:,} bytes: placement 'device' works")
    return [table] if table.row_count else []


def _norm(edit: Any) -> float:
    return float(np.sqrt(sum(float(np.square(delta).sum()) for delta in edit.deltas.values())))


def _table(title: str, first: str, *rest: str) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column(first)
    for name in rest:
        table.add_column(name, justify="right" if name in _NUMBERS else "left", overflow="fold")
    return table
