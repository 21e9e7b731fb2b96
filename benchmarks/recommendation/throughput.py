"""Training throughput of SASRec, ours beside RecBole's: ``throughput.py --data DATA FOLDER [--recbole PYTHON]``.

Both are trained in turn, for some seconds a round, on the same log with the same sizes and a full softmax: ours with
what was seen masked, RecBole's without, as it has no such mask. A *target* is an event that is predicted. Ours trains
on all events of a window (`packed`); `one a window` gives ours what RecBole does, every target a window of its own.
PYTHON is an interpreter of an environment outside this project in which recbole 1.2.1, numpy below 2 and pandas below 3
are installed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import torch

from persona.backbones.sasrec import SASRec
from persona.tasks.recommendation.events import EventLog
from persona.tasks.recommendation.readers import open_log
from persona.tasks.recommendation.splits import leave_one_out
from persona.training.loop import descend
from persona.training.packing import Batch, Packing
from persona.training.seen import SeenItems
from persona.training.sequence_losses import FullSoftmax

PACKED, SINGLE, THEIRS = "ours, packed", "ours, one a window", "RecBole"
Tally = dict[str, float]  # targets, s, cpu_s


class Ours:
    """Our net, its optimizer and an endless stream of batches, `stride` targets a window."""

    def __init__(self, log: EventLog, given: argparse.Namespace, stride: int) -> None:
        torch.manual_seed(0)
        self.net = SASRec(log.n_items, given.d, given.length, given.blocks, given.heads, dropout=0.2)
        self.optimizer = torch.optim.AdamW(self.net.parameters())
        self.loss, self.rng = FullSoftmax(SeenItems(log)), np.random.default_rng(0)
        packing = Packing(log, leave_one_out(log).train, given.length, stride)
        self.batches = self._endless(packing, given.batch if stride == 1 else given.windows)
        self.train(2.0)

    def train(self, seconds: float) -> Tally:
        """Train for some seconds, with the steps that `train_sequences` takes."""
        self.net.train()
        started, cpu, targets = time.perf_counter(), time.process_time(), 0
        while time.perf_counter() - started < seconds:
            batch = next(self.batches)
            descend(self.loss(self.net, batch, self.rng), 0, self.optimizer)
            targets += len(batch.targets)
        return {"targets": targets, "s": time.perf_counter() - started, "cpu_s": time.process_time() - cpu}

    def _endless(self, packing: Packing, size: int) -> Iterator[Batch]:
        while True:
            yield from packing.batches(size, self.rng)


@contextmanager
def recbole(python: str, log: EventLog, given: argparse.Namespace) -> Iterator[subprocess.Popen[str]]:
    """Start RecBole's side in a folder that is gone afterwards, and wait until it is ready."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "log").mkdir()
        with (Path(folder) / "log" / "log.inter").open("w") as file:
            write_atomic(log, file)
        settings = {
            "dataset": "log", "data_path": folder, "checkpoint_dir": folder, "threads": given.threads,
            "MAX_ITEM_LIST_LENGTH": given.length, "train_batch_size": given.batch, "hidden_size": given.d,
            "inner_size": 4 * given.d, "n_layers": given.blocks, "n_heads": given.heads,
            "hidden_dropout_prob": 0.2, "attn_dropout_prob": 0.2, "seed": 0,
        }  # fmt: skip
        side = Path(__file__).resolve().with_name("recbole_side.py")
        bare = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        with subprocess.Popen(
            [python, str(side)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=folder, env=bare
        ) as process:
            if ask(process, json.dumps(settings)) != "ready":
                sys.exit(f"{python} cannot run {side.name}; its last words stand above")
            yield process
            process.kill()


def ask(process: subprocess.Popen[str], line: str) -> str:
    """Write a line to a process and return the line that it answers with."""
    if process.stdin is None or process.stdout is None:
        raise ValueError("the process has no pipes")
    process.stdin.write(line + "\n")
    process.stdin.flush()
    return process.stdout.readline().strip()


def write_atomic(log: EventLog, file: TextIO) -> None:
    """Write a log as RecBole reads it, with each event's place for its time."""
    file.write("user_id:token\titem_id:token\ttimestamp:float\n")
    events = enumerate(zip(log.users.tolist(), log.items.tolist(), strict=True))
    file.writelines(f"{user}\t{item}\t{place - log.offsets[user]}\n" for place, (user, item) in events)


def parsed() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs=2, metavar=("READER", "FOLDER"), required=True)
    parser.add_argument("--recbole", metavar="PYTHON", help="an interpreter that has recbole")
    sizes = {"d": 64, "length": 50, "blocks": 2, "heads": 2, "batch": 2048, "windows": 128, "rounds": 3, "threads": 1}
    for name, value in sizes.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each round")
    return parser.parse_args()


def rounds(sides: dict[str, Any], given: argparse.Namespace) -> dict[str, list[Tally]]:
    """Let each side train in turn, as many rounds as asked."""
    found: dict[str, list[Tally]] = {name: [] for name in sides}
    for _ in range(given.rounds):
        for name, train in sides.items():
            found[name].append(train(given.seconds))
    return found


def main() -> None:
    """Measure and print."""
    given = parsed()
    torch.set_num_threads(given.threads)
    log = open_log(given.data[0], Path(given.data[1]))
    sides: dict[str, Any] = {
        PACKED: Ours(log, given, given.length).train, SINGLE: Ours(log, given, 1).train
    }  # fmt: skip
    if given.recbole is None:
        found = rounds(sides, given)
    else:
        with recbole(given.recbole, log, given) as process:
            found = rounds({**sides, THEIRS: lambda s: json.loads(ask(process, str(s)))}, given)
    print(f"load of the machine: {', '.join(f'{load:.1f}' for load in os.getloadavg())}")
    print(f"{'':20} {'targets/s':>10} {'targets/CPU s':>14}")
    for name, tallies in found.items():
        sums = {key: sum(tally[key] for tally in tallies) for key in tallies[0]}
        print(f"{name:20} {sums['targets'] / sums['s']:10,.0f} {sums['targets'] / sums['cpu_s']:14,.0f}")


if __name__ == "__main__":
    main()
