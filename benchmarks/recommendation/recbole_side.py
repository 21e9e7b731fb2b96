"""RecBole's side of `throughput.py`: run by an interpreter that has recbole, which this project does not depend on.

Reads settings as JSON from the first line of its input; writes ``ready`` once the data is prepared; then trains for as
many seconds as each further line says, and answers with targets, seconds and CPU seconds as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from typing import Any

import torch
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.model.sequential_recommender import SASRec
from recbole.utils import init_seed


def main() -> None:
    """Prepare, then train as often as asked."""
    asked, answers = sys.stdin, sys.stdout
    sys.stdout = sys.stderr  # whatever the library prints is no answer
    given: dict[str, Any] = json.loads(asked.readline())
    torch.set_num_threads(given.pop("threads"))
    fixed = {
        "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
        "train_neg_sample_args": None,
        "loss_type": "CE",
        "eval_args": {"split": {"LS": "valid_and_test"}, "order": "TO", "mode": "full", "group_by": "user"},
        "device": "cpu",
        "use_gpu": False,
    }
    config = Config(model="SASRec", dataset=given["dataset"], config_dict={**fixed, **given})
    init_seed(config["seed"], config["reproducibility"])
    dataset = create_dataset(config)
    training, _, _ = data_preparation(config, dataset)
    model = SASRec(config, training.dataset)
    optimizer = torch.optim.Adam(model.parameters(), lr=config["learning_rate"])
    batches = endless(training)
    train(model, optimizer, batches, 2.0)
    print("ready", file=answers, flush=True)
    for line in asked:
        print(json.dumps(train(model, optimizer, batches, float(line))), file=answers, flush=True)


def endless(training: Any) -> Iterator[Any]:
    """Yield batches of one epoch after another."""
    while True:
        yield from training


def train(model: Any, optimizer: torch.optim.Optimizer, batches: Iterator[Any], seconds: float) -> dict[str, float]:
    """Train for some seconds, as the library's own trainer does."""
    model.train()
    started, cpu, targets = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - started < seconds:
        interaction = next(batches)
        optimizer.zero_grad()
        loss = model.calculate_loss(interaction)
        loss.backward()
        optimizer.step()
        targets += len(interaction)
    return {"targets": targets, "s": time.perf_counter() - started, "cpu_s": time.process_time() - cpu}


if __name__ == "__main__":
    main()
