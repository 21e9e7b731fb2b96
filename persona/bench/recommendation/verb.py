"""The verb `persona bench recommendation`; what it needs is imported when it is called."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

RESULTS = Path("benchmarks/results/recommendation")
Results = Annotated[
    Path,
    typer.Option(
        "--recommendation", help="Folder with stored results of recommendation: a folder for each data set and setting."
    ),
]


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
    row: Annotated[list[str] | None, typer.Option(help="Rows to run; repeat. Default: the setting's.")] = None,
    seeds: Annotated[int, typer.Option(min=0, help="Training seeds; 0: three.")] = 0,
    results: Annotated[Path, typer.Option(help="Folder of results; what is there is not done again.")] = RESULTS,
    nets: Annotated[Path, typer.Option(help="Folder of trained bases; what is there is not trained again.")] = Path(
        "runs/bench-recommendation"
    ),
    quick: Annotated[bool, typer.Option(help="A minute or two: it shows that everything runs, no more.")] = False,
) -> None:
    """Run every row of recommendation on the same queries: counters, bases, a broadcast, personal edits, peers.

    Cut off, it goes on where it was. Next: `persona bench page`, and `persona bench verdict` for the targets.
    """
    from persona.bench.recommendation.command import Wanted, run_recommendation

    run_recommendation(Wanted(data, folder, setting, row, seeds, quick), results, nets)
