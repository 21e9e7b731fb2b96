"""The tables of the page."""

from __future__ import annotations

import math
from collections.abc import Iterator

from persona.demo.report.markup import Markup, join, table, tag
from persona.demo.report.rows import CAUSAL, ROWS, STATIC, Results
from persona.demo.report.units import count, is_level, mean, microseconds, milliseconds, percent, signed, size
from persona.demo.report.words import best_row, device_gains

CONTROLS = {
    "static": "static",
    "base": "base, unedited",
    "mean_edit": "mean edit",
    "shuffled_edit": "shuffled edit: another device's",
    "adapted": "adapted (same window)",
    "adapted_causal": "adapted (from an earlier window)",
}


def accuracy_table(results: Results) -> Markup:
    """Five rows by three kinds of data; the best of a column is strong, the small figure is points above static."""
    columns = [results[key] for key in ("accuracy", "first_window", "clean")]
    rows = []
    for row in ROWS:
        cells = []
        for scores in columns:
            value = percent(scores[row.key])
            shown = tag("strong", value) if row.key == best_row(scores) else value
            beside = "" if row is STATIC else signed(scores[row.key] - scores[STATIC.key])
            cells.append(join([shown, tag("small", beside)]))
        rows.append([row.name, *cells])
    return table(["", "shifting devices", "first window after a shift", "unshifted data"], rows, "figures")


def validation_table(results: Results) -> Markup:
    """The controls beside the method, on devices that chose nothing."""
    scores = results["validation"]
    rows = [[name, percent(scores[key]), signed(scores[key] - scores["base"])] for key, name in CONTROLS.items()]
    return table(["", "accuracy", "points above base"], rows, "figures")


def costs_table(results: Results) -> Markup:
    """Bytes, times and memory."""
    return table(["", "figure", "details"], [*_travel_rows(results), *_device_rows(results), *_cloud_rows(results)])


def losing_table(results: Results) -> Markup:
    """The devices below static, the worst first; nothing where there is none."""
    worst = [device for device, gain in reversed(device_gains(results)) if gain < 0 and not is_level(gain)]
    if not worst:
        return join([])
    devices = {device["device"]: device for device in results["devices"]}
    rows = []
    for number in worst:
        own, static = (devices[number]["accuracy"][key] for key in (CAUSAL.key, STATIC.key))
        met = " → ".join(devices[number]["domains"])
        rows.append([f"device {number}", percent(own), percent(static), signed(own - static), met])
    return table(["", CAUSAL.name, "static", "points", "what it met"], rows)


def devices_table(results: Results) -> Markup:
    """Every device: what it met and what it did."""
    head = ["device", *(row.short for row in ROWS)]
    rows = []
    for device in results["devices"]:
        scores = [percent(device["accuracy"][row.key]) for row in ROWS]
        did = [f"{device[key]:,}" for key in ("jumps", "asks", "refused")]
        rows.append(
            [str(device["device"]), *scores, *did, f"{device['rss_mb'] or math.nan:.0f}", " → ".join(device["domains"])]
        )
    return table([*head, "jumps", "asks", "refused", "MB", "what it met"], rows, "small")


def _travel_rows(results: Results) -> Iterator[list[str]]:
    up, raw = results["bytes_up"], results["sample_bytes"]
    ratio = f"{size(raw)} as raw samples" + (f", {raw / up:.0f} times as much" if up else "")
    yield ["up, for one adaptation", size(up), ratio]
    edit = results["bundle"]["editable"] * 4
    yield ["down, for one adaptation", size(results["bytes_down"]), f"{size(edit)} as the edited float32 values"]


def _device_rows(results: Results) -> Iterator[list[str]]:
    apply, bundle = results["apply_us"], results["bundle"]
    parts = ", ".join(f"{name} {microseconds(value)}" for name, value in apply["parts"].items())
    yield [
        "applying an edit, median",
        microseconds(apply["p50"]),
        f"99 % within {microseconds(apply['p99'])}, without the trial; {parts}",
    ]
    memory = [device["rss_mb"] or math.nan for device in results["devices"]]
    most = f"at most {max(memory):.0f} MB" if memory else "no device was recorded"
    yield ["memory of a device's process, mean", f"{mean(memory):.0f} MB" if memory else "not measured", most]
    editable = f"{bundle['editable']:,} of {count(bundle['parameters'], 'parameter')} can be edited"
    yield ["bundle for a device", size(bundle["device_bytes"]), editable]


def _cloud_rows(results: Results) -> Iterator[list[str]]:
    latency, seconds = results["latency_ms"], results["seconds"]
    yield ["bundle for the cloud", size(results["bundle"]["cloud_bytes"]), "the encoder"]
    asked = f"{count(results['requests'], 'request')}, {results['failed_requests']:,} failed or refused"
    within = f"99 % within {milliseconds(latency['p99'])}; {asked}"
    yield ["asking the cloud, median", milliseconds(latency["p50"]), within]
    named = [f"{name} {value:.0f} s" for name, value in seconds.items() if name != "total"]
    yield ["the whole run", f"{seconds['total']:.0f} s", ", ".join(named)]
