"""The verbs of `persona bench` that know several benchmarks, and that of recommendation.

What a verb needs is imported when it is called.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Literal

import typer

from persona.errors import CatalogError

Results = Annotated[Path, typer.Option(help="Folder with stored results: a folder for each data set and backbone.")]
DeviceResults = Annotated[Path, typer.Option(help="File that `persona bench device --out` wrote.")]
Recommendation = Annotated[
    Path,
    typer.Option(
        "--recommendation", help="Folder with stored results of recommendation: a folder for each data set and setting."
    ),
]
DEVICE_RESULTS = Path("benchmarks/results/device.json")
RECOMMENDATION = Path("benchmarks/results/recommendation")
ServiceResults = Annotated[Path, typer.Option(help="File that `persona bench service --out` wrote.")]
SERVICE_RESULTS = Path("benchmarks/results/service.json")


def bench_verdict(
    results: Results = Path("benchmarks/results/vision"),
    device: DeviceResults = DEVICE_RESULTS,
    of_recommendation: Recommendation = RECOMMENDATION,
    service: ServiceResults = SERVICE_RESULTS,
    benchmark: Annotated[
        list[str] | None,
        typer.Option(help="Whose targets: vision, device, recommendation, service; repeat. Default: all."),
    ] = None,
) -> None:
    """Hold stored results against every target: met, missed, or not measured. Exits with 1 unless all are met."""
    from rich.console import Console

    from persona.bench.device.judges import device_verdicts
    from persona.bench.recommendation.judges import recommendation_verdicts
    from persona.bench.service.judges import service_verdicts
    from persona.bench.verdict import all_met, table_of
    from persona.bench.vision.verdict import stored_verdicts

    judged = {
        "vision": lambda: stored_verdicts(results),
        "device": lambda: device_verdicts(device),
        "recommendation": lambda: recommendation_verdicts(of_recommendation),
        "service": lambda: service_verdicts(service),
    }
    unknown = set(benchmark or ()) - set(judged)
    if unknown:
        raise CatalogError(f"there is no benchmark {min(unknown)!r}; there are {', '.join(judged)}")
    found = [verdict for name in benchmark or judged for verdict in judged[name]()]
    Console().print(table_of(found))
    if not all_met(found):
        raise typer.Exit(1)


def bench_page(
    results: Results = Path("benchmarks/results/vision"),
    out: Annotated[Path, typer.Option(help="File to write; its plots go into a folder beside it of that name.")] = Path(
        "docs/benchmarks.md"
    ),
    notes: Annotated[Path, typer.Option(help="Text on what was tried, taken in as it is where it exists.")] = Path(
        "benchmarks/vision/notes.md"
    ),
    device: DeviceResults = DEVICE_RESULTS,
    of_recommendation: Recommendation = RECOMMENDATION,
) -> None:
    """Write the benchmarks' pages and their plots from stored results, and from nothing else.

    Where there are results of devices or of recommendation, their pages stand beside OUT.
    """
    from persona.bench.device.page import write_device_page
    from persona.bench.recommendation.page import write_page as write_recommendation
    from persona.bench.vision.page import write_page

    write_page(results, out, notes)
    typer.echo(f"page: {out}")
    if device.exists():
        beside = out.with_name(f"{out.stem}-device{out.suffix}")
        write_device_page(device, beside)
        typer.echo(f"page: {beside}")
    if any(of_recommendation.glob("*/*/seed-*.json")):
        beside = out.with_name(f"{out.stem}-recommendation{out.suffix}")
        write_recommendation(of_recommendation, beside, notes.parent.parent / "recommendation" / notes.name)
        typer.echo(f"page: {beside}")


def bench_recommendation(
    folder: Annotated[
        Path | None, typer.Option(help="Folder of the data set, one that holds it, or a file; synthetic needs none.")
    ] = None,
    data: Annotated[
        str, typer.Option(help="ml-100k, ml-1m, amazon_beauty, …, synthetic, or module:callable.")
    ] = "ml-100k",
    setting: Annotated[
        Literal["users", "stale", "leave-one-out"],
        typer.Option(help="Users unseen in training, late queries of a base that is stale, or last events."),
    ] = "users",
    protocol: Annotated[
        Literal["trustworthy", "paper"],
        typer.Option(help="Full ranking; or the paper's: last events among 99 negatives, whatever --setting says."),
    ] = "trustworthy",
    row: Annotated[list[str] | None, typer.Option(help="Rows to run; repeat. Default: the setting's.")] = None,
    seeds: Annotated[int, typer.Option(min=0, help="Training seeds; 0: three.")] = 0,
    results: Annotated[Path, typer.Option(help="Folder of results; what is there is not done again.")] = RECOMMENDATION,
    nets: Annotated[Path, typer.Option(help="Folder of trained bases; what is there is not trained again.")] = Path(
        "runs/bench-recommendation"
    ),
    quick: Annotated[bool, typer.Option(help="A minute or two: it shows that everything runs, no more.")] = False,
) -> None:
    """Run every row of recommendation on the same queries: counters, bases, a broadcast, personal edits, peers.

    Cut off, it goes on where it was. Next: `persona bench page`, and `persona bench verdict` for the targets.
    """
    from persona.bench.recommendation.command import Wanted, run_recommendation

    run_recommendation(Wanted(data, folder, setting, row, seeds, quick, protocol), results, nets)


def bench_service(
    bundle: Annotated[Path, typer.Argument(help="Folder that `persona export` wrote.")],
    seconds: Annotated[float, typer.Option(min=1, help="Seconds of full load, and again of half load.")] = 10.0,
    out: Annotated[Path | None, typer.Option(help="File to write the figures to, as JSON.")] = None,
) -> None:
    """Measure a service under load: CPU a request, requests a second of one core, latency at half load.

    The load comes from `wrk` where it is on the PATH. Wants Linux, two cores and nothing beside it.
    """
    import json

    from persona.bench.service.measure import measure
    from persona.files import write_whole

    figures = json.dumps(measure(bundle, seconds), indent=1)
    if out is not None:
        write_whole(out, (figures + "\n").encode())
    typer.echo(figures)


VERBS: Mapping[str, Callable[..., None]] = {
    "verdict": bench_verdict,
    "page": bench_page,
    "recommendation": bench_recommendation,
    "service": bench_service,
}
