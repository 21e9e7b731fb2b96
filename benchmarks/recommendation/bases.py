"""Train a base model and print its figures: ``bases.py ml-1m/sasrec DATA --out FOLDER [--seed N]``.

DATA is the folder that holds the data set of that name. Leave-one-out, full ranking: each user's last event is asked,
with seen items left out and with them among the rest, which is how most published figures are made. Every epoch is
kept in FOLDER; the same command goes on from there.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

import torch

from persona.tasks.recommendation.events import EventLog, Positions
from persona.tasks.recommendation.metrics import summary
from persona.tasks.recommendation.readers import open_log
from persona.tasks.recommendation.splits import leave_one_out
from persona.training.ranking import rank_queries
from persona.training.seen import SeenItems
from persona.training.sequence_bases import BASES, base_of
from persona.training.sequences import train_sequences


def figures(net: torch.nn.Module, log: EventLog, asked: Positions) -> dict[str, dict[str, float]]:
    """Return HR, NDCG and MRR at 10 with seen items left out and with them among the rest."""
    ways = {"seen left out": SeenItems(log), "seen among the rest": None}
    return {way: summary(rank_queries(net, log, asked, seen), (10,)) for way, seen in ways.items()}  # type: ignore[arg-type]


def main() -> None:
    """Train, measure, print, and write ``figures.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base", choices=sorted(BASES))
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    base = base_of(given.base).seeded_by(given.seed)
    log = open_log(given.base.partition("/")[0], given.data)
    split, net = leave_one_out(log), base.build(log.n_items)

    def progress(step: int, steps: int, loss: float) -> None:
        if step % 50 == 0:
            print(f"\rstep {step:,} of {steps:,}, loss {loss:.3f}", end="", flush=True)

    started, cpu = time.perf_counter(), time.process_time()
    history = train_sequences(net, log, split, base.config, progress, folder=given.out)
    found = {
        "base": given.base, "seed": given.seed, "settings": str(base), "validation": history.validation,
        "best_epoch": history.best + 1, "training_s": time.perf_counter() - started,
        "training_cpu_s": time.process_time() - cpu, "load": os.getloadavg(),
    }  # fmt: skip
    started = time.perf_counter()
    found |= {"test": figures(net, log, split.test), "ranking_s": (time.perf_counter() - started) / 2}
    (given.out / "figures.json").write_text(json.dumps(found, indent=1))
    print(f"\n{given.base}: epoch {history.best + 1} of {len(history.losses)}, {found['training_cpu_s']:.0f} CPU s")
    for way, values in found["test"].items():
        print(f"{way:20} " + "  ".join(f"{name} {value:.4f}" for name, value in values.items()))


if __name__ == "__main__":
    main()
