"""Progress bars on the terminal, and plain tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

Bar = Callable[[int, int, float], None]


@contextmanager
def bars() -> Iterator[Progress]:
    """Show bars on standard error for the length of a block."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        yield progress


@contextmanager
def phases() -> Iterator[Callable[[str], Bar]]:
    """Yield a function that starts a bar of a given name and returns what moves it: (done, total, loss)."""
    with bars() as progress:

        def start(name: str) -> Bar:
            task = progress.add_task(name, total=None, note="")

            def move(done: int, total: int, loss: float) -> None:
                progress.update(task, completed=done, total=total, note=f"loss {loss:.3f}")

            return move

        yield start


def table_of(title: str, figures: Mapping[str, float]) -> Table:
    """Return figures by name as a table of two columns."""
    table = Table(title=title)
    table.add_column("row")
    table.add_column("value", justify="right")
    for name, value in figures.items():
        table.add_row(name.replace("_", " "), f"{value:.2f}")
    return table
