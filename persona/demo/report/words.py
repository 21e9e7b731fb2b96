"""Sentences of the report. Each is computed from the results, and says as plainly that something was lost as won."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import median

from persona.demo.report.rows import ADAPTED, BASE, CAUSAL, MEAN_EDIT, ROWS, STATIC, Results
from persona.demo.report.units import (
    MISSING,
    against,
    count,
    interval,
    is_level,
    mean,
    microseconds,
    percent,
    points,
    signed,
    size,
)

COLLAPSED_SHARE = 0.7  # of the codes' variance in one direction: then they say one thing only


def statement(results: Results) -> tuple[str, str, str]:
    """Return what was done, what it took and what came of it, one sentence each."""
    devices, bundle = results["devices"], results["bundle"]
    asks = mean(device["asks"] for device in devices)
    asked = f"{asks:.1f}\u00a0times on average" if math.isfinite(asks) else f"(how often was {MISSING})"
    done = (
        f"A model of {count(bundle['parameters'], 'parameter')} went to {count(len(devices), 'device')} whose data, "
        f"without labels, shifted {count(len(results['timeline']['shifts']), 'time')} in "
        f"{count(len(results['timeline']['window']), 'window')}; each asked the cloud for an edit {asked}."
    )
    took = (
        f"A reply is {size(results['bytes_down'])}, changes up to {bundle['editable']:,} of the parameters and is "
        f"applied in {microseconds(results['apply_us']['p50'])} without a training step; {_torch(devices)}."
    )
    accuracy = results["accuracy"]
    came = (
        f"Predicting each window as it came, the edited model was right on {percent(accuracy[CAUSAL.key])} of the "
        f"samples, {against(accuracy[CAUSAL.key], accuracy[STATIC.key])} a static model trained on the same kinds of "
        f"shift ({verdict(results['intervals']['adapted_causal_minus_static'])})."
    )
    return done, took, came


def verdict(bounds: Sequence[float]) -> str:
    """Return what a 95 % interval of a difference says."""
    low, high = bounds
    said = f"95\u00a0% interval {interval(bounds)}"
    return said if low > 0 or high < 0 else f"{said}, which does not tell the two apart"


def timeline_sentence(results: Results) -> str:
    """Return in how many windows the causal edit was above static, and below."""
    timeline = results["timeline"]
    gains = _differences(timeline[CAUSAL.key], timeline[STATIC.key])
    if not gains:
        return "No window was recorded."
    return (
        f"Of {count(len(gains), 'window')}, {CAUSAL.name} is above static in {_above(gains)}, level in {_level(gains)} "
        f"and below in {_below(gains)}."
    )


def after_shift_sentence(results: Results) -> str:
    """Return how the causal edit stands to static at once after a shift, and in the last window before the next."""
    own, static = results["after_shift"][CAUSAL.key], results["after_shift"][STATIC.key]
    if not own or not static:
        return "No shift was recorded."
    said = (
        f"In the first window after a shift, {CAUSAL.name} is at {percent(own[0])}, {against(own[0], static[0])} static"
    )
    last = min(len(own), len(static)) - 1
    if last:
        said += f"; in window {last + 1}, at {percent(own[last])}, {against(own[last], static[last])} static"
    return f"{said}."


def device_gains(results: Results) -> list[tuple[int, float]]:
    """Return (device, points of the causal edit above static), the largest first."""
    gains = [
        (device["device"], device["accuracy"][CAUSAL.key] - device["accuracy"][STATIC.key])
        for device in results["devices"]
    ]
    return sorted(gains, key=lambda gain: (-gain[1], gain[0]))


def devices_sentence(gains: Sequence[tuple[int, float]]) -> str:
    """Return how many devices are above static, and how far they lie apart."""
    if not gains:
        return "No device was recorded."
    values = [gain for _, gain in gains]
    (best, most), (worst, least) = gains[0], gains[-1]
    return (
        f"Of {count(len(gains), 'device')}, {_above(values)} are above static, {_level(values)} level and "
        f"{_below(values)} below; the median is {signed(median(values))}\u00a0points, the range {signed(least)} "
        f"(device {worst}) to {signed(most)} (device {best})."
    )


def prototypes_used(results: Results) -> list[tuple[str, int]]:
    """Return (prototype, how often it was in use), the most used first."""
    return sorted(results["prototypes"].items(), key=lambda item: (-item[1], item[0]))


def prototypes_sentence(used: Sequence[tuple[str, int]], bank_size: int) -> str:
    """Return how many prototypes were in use, and how crowded the first of them was."""
    total = sum(times for _, times in used)
    if not total:
        return f"None of the {bank_size} prototypes was in use."
    name, most = used[0]
    return (
        f"{len(used)} of the {count(bank_size, 'prototype')} in the bank were in use at some time; number {name}, the "
        f"most used, in {percent(100 * most / total)} of the windows that had one."
    )


def training_sentence(results: Results) -> str:
    """Return where each loss began and ended, and how many directions the codes use."""
    training = results["training"]
    said = [_loss(name, losses, training["steps"]) for name, losses in training["losses"].items() if losses]
    losses = "No loss was recorded."
    if said:
        losses = f"Loss, first and last tenth of the steps: {'; '.join(said)}."
    if len(said) > 1:
        losses += " They sum different terms: compare their courses, not their heights."
    shares = training["code_shares"]
    if not shares:
        return losses
    collapsed = ", a sign that the codes have collapsed" if shares[0] > COLLAPSED_SHARE else ""
    return f"{losses} The first direction of the codes carries {percent(100 * shares[0])} of their variance{collapsed}."


def validation_sentence(results: Results) -> str:
    """Return whether the controls explain the gain over the unedited base."""
    scores = results["validation"]
    own, base = scores[CAUSAL.key], scores[BASE.key]
    if is_level(own - base) or own < base:
        return f"In validation a device's own edit is {against(own, base)} the unedited base: no gain to explain."
    said = (
        f"In validation a device's own edit, made from an earlier window, is {against(own, base)} the unedited "
        f"base; the mean edit is {against(scores[MEAN_EDIT.key], base)} it, and another device's edit "
        f"{against(scores['shuffled_edit'], base)} it"
    )
    kept = (max(scores[MEAN_EDIT.key], scores["shuffled_edit"]) - base) / (own - base)
    if kept <= 0:
        return f"{said}: the gain needs an edit of the device's own."
    return f"{said}: a control keeps {percent(100 * kept)} of the gain, so that part is not adaptation."


def outage_sentences(results: Results) -> list[str]:
    """Return what happened while the cloud was away; nothing where it was never taken away."""
    outage = results["outage"]
    if outage is None:
        return []
    killed, back, errors = outage["killed_at_window"], outage["back_at_window"], outage["device_errors"]
    away = "The streams ended before the cloud could be killed."
    if killed is not None:
        returned = "did not come back" if back is None else f"came back at window {back}"
        away = f"The cloud was killed at window {killed} and {returned}."
    felt = f"{count(errors, 'prediction')} failed on the devices." if errors else "No prediction failed on a device."
    failed = f"In all, {count(outage['failed_requests'], 'request')} failed or had an answer that was refused."
    again = "Every device adapted again" if outage["adapted_again"] else "Not every device adapted again"
    return [away, felt, failed, f"{again} afterwards."]


def loss_sentences(results: Results) -> list[str]:
    """Return, for each place where an edit may cost something, whether it did and how much."""
    accuracy, clean = results["accuracy"], results["clean"]
    static = accuracy[STATIC.key]
    unshifted = " and ".join(
        f"{row.name} is {against(clean[row.key], clean[STATIC.key])} static" for row in (ADAPTED, CAUSAL)
    )
    return [
        _losing_devices(results),
        _losing_windows(results),
        f"Unshifted data: {unshifted}.",
        f"No edit at all: on shifting devices the base is {against(accuracy[BASE.key], static)} static.",
        f"One edit for everybody: the mean edit is {against(accuracy[MEAN_EDIT.key], static)} static.",
        f"Not asking first: {CAUSAL.name} is {against(accuracy[CAUSAL.key], accuracy[ADAPTED.key])} {ADAPTED.name}.",
    ]


def best_row(scores: Mapping[str, float]) -> str:
    """Return the key of the highest of the five rows."""
    return max((row.key for row in ROWS), key=lambda key: scores[key])


def _losing_devices(results: Results) -> str:
    gains = [gain for _, gain in device_gains(results)]
    losing = _below(gains)
    by = f", by {points(min(gains))} at most" if losing else ""
    return f"Devices: with {CAUSAL.name}, {losing} of {len(gains)} are below static{by}."


def _losing_windows(results: Results) -> str:
    after = results["after_shift"]
    gains = _differences(after[CAUSAL.key], after[STATIC.key])
    losing = [str(at + 1) for at, gain in enumerate(gains) if _below([gain])]
    return f"After a shift: {CAUSAL.name} is below static in " + (
        f"window {', '.join(losing)}." if losing else "no window."
    )


def _torch(devices: Sequence[Mapping[str, bool]]) -> str:
    loaded = sum(device["torch_imported"] for device in devices)
    return "no device loaded torch" if not loaded else f"{count(loaded, 'device')} loaded torch"


def _loss(name: str, losses: Sequence[float], steps: Mapping[str, int]) -> str:
    tenth = max(1, len(losses) // 10)
    taken = f" in {count(steps[name], 'step')}" if name in steps else ""
    return f"{name} {mean(losses[:tenth]):.2f} to {mean(losses[-tenth:]):.2f}{taken}"


def _differences(values: Sequence[float], others: Sequence[float]) -> list[float]:
    return [value - other for value, other in zip(values, others, strict=False) if math.isfinite(value - other)]


def _above(differences: Sequence[float]) -> int:
    return sum(difference > 0 and not is_level(difference) for difference in differences)


def _below(differences: Sequence[float]) -> int:
    return sum(difference < 0 and not is_level(difference) for difference in differences)


def _level(differences: Sequence[float]) -> int:
    return sum(is_level(difference) for difference in differences)
