"""The page: one HTML file with its style and its charts inside, that asks nothing of a network."""

from __future__ import annotations

from functools import partial
from importlib.resources import files
from pathlib import Path

from persona.demo.report.charts import draw_after_shift, draw_devices, draw_prototypes, draw_timeline, draw_training
from persona.demo.report.headlines import headlines
from persona.demo.report.markup import Markup, bullets, tag, trusted
from persona.demo.report.rows import ADAPTED, CAUSAL, ROWS, Results
from persona.demo.report.svg import Draw, draw_svg
from persona.demo.report.tables import accuracy_table, costs_table, devices_table, losing_table, validation_table
from persona.demo.report.units import against, count, size
from persona.demo.report.words import (
    after_shift_sentence,
    device_gains,
    devices_sentence,
    loss_sentences,
    outage_sentences,
    prototypes_sentence,
    prototypes_used,
    statement,
    timeline_sentence,
    training_sentence,
    validation_sentence,
    verdict,
)
from persona.files import write_whole


def write_report(results: Results, path: Path) -> None:
    """Write the report as one self-contained HTML file; the same results give the same bytes.

    ExportError where the file cannot be written, KeyError where the results lack something.
    """
    write_whole(path, report_html(results).encode("utf-8"))


def report_html(results: Results) -> str:
    """Return the report as the text of an HTML file."""
    title = f"Edits of {size(results['bytes_down'])} for {count(len(results['devices']), 'shifting device')}"
    style = files("persona.demo.report").joinpath("page.css").read_text(encoding="utf-8")
    head = tag(
        "head",
        trusted('<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'),
        tag("title", f"Persona: {title}"),
        tag("style", trusted(style)),
    )
    body = tag("body", tag("main", _opening(title, results), *_sections(results)))
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


def _opening(title: str, results: Results) -> Markup:
    cards = [
        tag("div", tag("dt", card.label), tag("dd", tag("b", card.value), tag("span", card.note)))
        for card in headlines(results)
    ]
    said = tag("p", " ".join(statement(results)), class_="lead")
    return tag("header", tag("p", "Persona · demo report", class_="kicker"), tag("h1", title), said, tag("dl", *cards))


def _sections(results: Results) -> list[Markup]:
    sections = [
        tag("section", tag("h2", "What happened"), *_charts(results)),
        _section("All five, side by side", accuracy_table(results), _intervals(results)),
        _section("What it costs", costs_table(results)),
        _section(
            "Does the gain come from the device's own edit?",
            _text(validation_sentence(results)),
            validation_table(results),
        ),
        _section("Where it loses", bullets(loss_sentences(results)), losing_table(results)),
    ]
    if results["outage"] is not None:
        sections.append(_section("Without the cloud", bullets(outage_sentences(results))))
    return [
        *sections,
        _section("How it was measured", _method(results)),
        _section("Every device", devices_table(results)),
    ]


def _charts(results: Results) -> list[Markup]:
    gains, used, bank_size = device_gains(results), prototypes_used(results), results["bank_size"]
    return [
        _chart(
            "timeline",
            "Accuracy over time, mean over devices",
            timeline_sentence(results),
            partial(draw_timeline, results=results),
        ),
        _chart(
            "after-shift",
            "Accuracy by windows since the shift",
            after_shift_sentence(results),
            partial(draw_after_shift, results=results),
        ),
        _chart(
            "devices",
            f"{CAUSAL.name.capitalize()} minus static, device by device",
            devices_sentence(gains),
            partial(draw_devices, gains=gains),
        ),
        _chart(
            "prototypes",
            "Prototypes in use, over all devices and windows",
            prototypes_sentence(used, bank_size),
            partial(draw_prototypes, used=used, bank_size=bank_size),
        ),
        _chart("training", "Training", training_sentence(results), partial(draw_training, results=results)),
    ]


def _chart(name: str, title: str, takeaway: str, draw: Draw) -> Markup:
    picture = tag("div", draw_svg(name, f"{title}. {takeaway}", draw), class_="scroll")
    return tag("figure", tag("figcaption", tag("h3", title), _text(takeaway)), picture)


def _section(title: str, *content: str) -> Markup:
    return tag("section", tag("h2", title), *content)


def _text(sentence: str) -> Markup:
    return tag("p", sentence)


def _intervals(results: Results) -> Markup:
    accuracy, intervals = results["accuracy"], results["intervals"]
    said = [
        f"On shifting devices {row.name} is {against(accuracy[row.key], accuracy['static'])} static "
        f"({verdict(intervals[f'{row.key}_minus_static'])})."
        for row in (CAUSAL, ADAPTED)
    ]
    small = "Small figures are points above static; the best of a column is bold."
    return _text(" ".join([*said, small]))


def _method(results: Results) -> Markup:
    """What each row and figure means, and what the run depends on."""
    rows = [item for row in ROWS for item in (tag("dt", row.name), tag("dd", row.definition))]
    steps = ", ".join(f"{name} {count(number, 'step')}" for name, number in results["training"]["steps"].items())
    seeds = ", ".join(f"{name} {seed}" for name, seed in results["seeds"].items())
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    machine = results["machine"]
    facts = {
        "Accuracy": "Share of samples whose class is predicted; labels serve for scoring only.",
        "Interval": "95 %, paired bootstrap over devices: it speaks of other devices, not of other training seeds.",
        "First window": "The first of each stretch of one kind of data, the device's very first one included.",
        "Unshifted data": "Devices that never shift; what is lost is static minus the worse adapted row.",
        "Latency": "Service and devices are processes of one machine and speak over loopback: no network is in it.",
        "Training": steps,
        "Seeds": seeds,
        "Versions": versions,
        "Machine": f"{machine['processor']}, {count(machine['cores'], 'core')}",
        "Bundle": results["bundle"]["fingerprint"],
    }
    said = [item for name, fact in facts.items() for item in (tag("dt", name), tag("dd", fact))]
    return tag("dl", *rows, *said, class_="terms")
