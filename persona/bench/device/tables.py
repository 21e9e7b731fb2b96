"""The figures of `persona bench device` as rows of text, for a terminal and for a page alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from rich.table import Table

_PARTS = {
    "verify_and_read_us": "verify the signature, read the reply, check whom it is for",
    "decode_us": "decode the code",
    "check_us": "check the edit and make the weights ready",
    "swap_us": "swap one reference",
    "in_all_us": "**all of that in one go**",
    "read_unsigned_us": "read an unsigned reply instead (not in the sum)",
    "trial_us": "shadow trial on a window (not in the sum)",
    "tent_us": "a step of TENT on a window of 32",
    "session_rebuild_us": "a new session of a baked graph",
}
_CODEC_HEAD = ("codec", "bytes down", "signed", "error of logits", "accuracy, %")


class Rows(NamedTuple):
    """A table: its title, its columns, its lines."""

    title: str
    head: tuple[str, ...]
    lines: Sequence[tuple[str, ...]]


def rows_of(figures: Mapping[str, Any]) -> Iterator[Rows]:
    """Yield every table."""
    apply = figures["apply"]
    lines: list[tuple[str, ...]] = [(said, f"{apply[name]:.1f}") for name, said in _PARTS.items()]
    yield Rows("Applying a received edit, median µs", ("part", "µs"), lines)
    lines = [
        (batch, f"{row['baked_us']:.1f}", f"{row['editable_us']:.1f}", f"{row['ratio']:.3f}")
        for batch, row in figures["inference"].items()
    ]
    yield Rows("Inference, median µs", ("batch", "baked", "editable", "ratio"), lines)
    yield Rows("Codecs", _CODEC_HEAD, _codec_lines(figures["codecs"]))
    whole = figures["codecs"]["whole_edits"]
    lines = [(codec, f"{row['bytes']:,}", f"{row['loss']:.2g}") for codec, row in whole.items()]
    yield Rows("A whole edit on the wire, by codec", ("codec", "bytes", "relative error"), lines)
    sizes = figures["codecs"]["part_bytes"]
    yield Rows("Parts of the bundle", ("part", "bytes"), [(name, f"{size:,}") for name, size in sizes.items()])
    footprint = figures["footprint"]
    lines = [("import of `persona.device`", f"{footprint['import_s']:.2f} s")]
    lines += [(f"peak memory, {what}", _mb(peak)) for what, peak in footprint["peak_mb"].items()]
    yield Rows("A device's process", ("what", "figure"), lines)


def tables_of(figures: Mapping[str, Any]) -> list[Table]:
    """Return the figures as tables for a terminal."""
    tables = []
    for rows in rows_of(figures):
        table = Table(title=rows.title, title_justify="left")
        for index, name in enumerate(rows.head):
            table.add_column(name, justify="right" if index else "left")
        for line in rows.lines:
            table.add_row(*(cell.replace("**", "").replace("`", "") for cell in line))
        tables.append(table)
    return tables


def _codec_lines(codecs: Mapping[str, Any]) -> list[tuple[str, ...]]:
    accuracy = codecs["accuracy"] or {}
    lines: list[tuple[str, ...]] = [("no edit", "0", "0", "", _percent(accuracy.get("base")))] if accuracy else []
    for codec, size in codecs["down_bytes"].items():
        name = "prototype alone" if codec == "prototype" else f"prototype and residual, {codec}"
        error = f"{100 * codecs['logit_error'][codec]:.3f} %"
        signed = str(codecs["down_signed_bytes"][codec])
        lines.append((name, str(size), signed, error, _percent(accuracy.get(codec))))
    return lines


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _mb(value: float | None) -> str:
    return "not said by this system" if value is None else f"{value:.1f} MB"
