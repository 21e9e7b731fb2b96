"""The page of the recommendation demo: one HTML file with its style inside, that asks nothing of a network."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from rich.table import Table

from persona.demo.ranking.figures import DIFFERENCES, MEASURES
from persona.demo.report.markup import Markup, bullets, table, tag, trusted
from persona.files import write_whole

Results = Mapping[str, Any]
WORDS = {
    "base": "base: trained on the first half by time",
    "broadcast": "and a broadcast: one change of the table for everybody",
    "personal": "and a personal edit: this user's, from up to 200 events",
}


def write_ranking_report(results: Results, path: Path) -> None:
    """Write the report; ExportError where the file cannot be written."""
    write_whole(path, ranking_html(results).encode("utf-8"))


def summary_of(results: Results) -> Table:
    """Return the rows as a table for a terminal."""
    part = results["all"]
    shown = Table(title=f"{part['queries']} queries of {part['users']} users")
    for name in ("row", *MEASURES):
        shown.add_column(name)
    for row, values in part["rows"].items():
        shown.add_row(row, *(f"{values[name]:.4f}" for name in MEASURES))
    for difference, values in part["differences"].items():
        shown.add_row(difference, *(_interval(values[name]) for name in MEASURES))
    return shown


def ranking_html(results: Results) -> str:
    """Return the report as the text of an HTML file."""
    style = files("persona.demo.report").joinpath("page.css").read_text(encoding="utf-8")
    head = tag(
        "head", trusted('<meta charset="utf-8">'), tag("title", "Persona: recommendation"), tag("style", trusted(style))
    )
    sections = [
        _section("Everybody", _rows(results["all"])),
        *(
            []
            if results["answered"] is None
            else [_section("Queries with a personal edit in force", _rows(results["answered"]))]
        ),
        _section("Lists before and after an interest shift", *_shown(results)),
        _section("What it costs", bullets(_costs(results))),
        _section("Item vectors, stored smaller", _storage(results)),
        _section("How it was measured", bullets(_method(results))),
    ]
    body = tag("body", tag("main", _opening(results), *sections))
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


def _opening(results: Results) -> Markup:
    log = results["log"]
    said = (
        f"A base that knows the first half of {log['events']:,} events of {log['users']:,} users with "
        f"{log['items']:,} items runs in {len(results['devices'])} device processes, which stream the last tenth. "
        "It is not trained again: a broadcast changes the table for everybody, and each user's edit comes in a "
        f"reply of {results['bytes_down']:.0f} bytes."
    )
    return tag(
        "header",
        tag("p", "Persona · recommendation", class_="kicker"),
        tag("h1", "A base that has aged, edited"),
        tag("p", said, class_="lead"),
    )


def _section(title: str, *content: str) -> Markup:
    return tag("section", tag("h2", title), *content)


def _rows(part: Mapping[str, Any]) -> Markup:
    lines = [[WORDS[row], *(f"{values[name]:.4f}" for name in MEASURES)] for row, values in part["rows"].items()]
    for row, other in DIFFERENCES:
        values = part["differences"][f"{row} - {other}"]
        lines.append([f"{row} minus {other}", *(_interval(values[name]) for name in MEASURES)])
    said = f"{part['queries']:,} queries of {part['users']:,} users; 95 % intervals by bootstrap over users."
    return tag("div", tag("p", said), table(["", *MEASURES], lines, "figures"))


def _interval(values: list[float]) -> str:
    mean, low, high = values
    return f"{mean:+.4f} ({low:+.4f} to {high:+.4f})"


def _shown(results: Results) -> list[Markup]:
    """Tables of the lists of every user that is shown, at the shift and some events later."""
    titles = results["titles"]

    def names(items: list[int]) -> str:
        return "; ".join(titles[str(item)] for item in items) or "nothing"

    parts: list[Markup] = [] if results["shown"] else [tag("p", "No user's interests were seen to shift.")]
    for one in results["shown"]:
        lists = {row: [titles[str(item)] for item in items] for row, items in one["lists"].items()}
        depth = max(len(items) for items in lists.values())
        lines = [[str(n + 1), *(items[n] if n < len(items) else "" for items in lists.values())] for n in range(depth)]
        met = tag("p", f"Met last: {names(one['met'])}. Met next: {names(one['next'])}.")
        parts += [tag("h3", f"User {one['user']}, after {one['at']} events"), met, table(["", *lists], lines, "small")]
    return parts


def _costs(results: Results) -> list[str]:
    bundle = results["bundle"]
    refused = "; ".join(f"{count} times: {reason}" for reason, count in results["reasons"].items()) or "none"
    return [
        (
            f"{results['requests']:,} requests, {results['bytes_up']:,.0f} bytes up each, "
            f"{results['bytes_down']:,.0f} bytes down each; signatures add 8 and 64."
        ),
        f"{results['refused']:,} refused. Last reasons by user, # for digits: {refused}.",
        (
            f"Device's half {bundle['device_bytes']:,} bytes, item vectors {bundle['items_bytes']:,}, "
            f"cloud's half {bundle['cloud_bytes']:,}; an edit has {bundle['edit']:,} numbers."
        ),
        "Memory of a device process at its peak: "
        + ", ".join(f"{device['rss_mb']:.0f} MB" for device in results["devices"] if device["rss_mb"] is not None)
        + (", none with torch." if not any(device["torch_imported"] for device in results["devices"]) else "."),
    ]


def _storage(results: Results) -> Markup:
    lines = [
        [kind, f"{values['bytes']:,}", f"{values['NDCG@10']:.4f}", f"{100 * values['overlap']:.1f} %"]
        for kind, values in results["storage"].items()
    ]
    return table(["stored as", "bytes", "NDCG@10, broadcast alone", "top 10 kept"], lines, "figures")


def _method(results: Results) -> list[str]:
    seconds = ", ".join(f"{name} {value:.0f} s" for name, value in results["seconds"].items())
    brief = ["Trained so briefly that the figures mean little."] if results["quick"] else []
    return [
        *brief,
        (
            f"World: {results['world']}. The base ends at half of the log by time; the broadcast and the adapter learn "
            "from what came until four fifths; the tenth behind that chooses; the last tenth is streamed."
        ),
        "Ranks are among the whole catalogue, without what the user met before; ties count half.",
        "Users with the most events in the last tenth, up to a limit: not a fair draw of all.",
        (
            f"A device asks as soon as it has events enough, then every {results['every']} events, and refuses an edit "
            "that foretells the user's last events worse than the base does."
        ),
        f"Seconds: {seconds}. Seed {results['seed']}.",
        "Versions: " + ", ".join(f"{name} {version}" for name, version in results["versions"].items()) + ".",
        f"Bundle {results['bundle']['fingerprint']}.",
    ]
