"""The phases in order: get a log, train, export, sign, serve, stream through device processes, report."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from persona.bundle import CLOUD_FILE, DEVICE_FILE, Bundle
from persona.demo.outage import count_lines
from persona.demo.ranking.figures import ranking_figures
from persona.demo.ranking.fleet import Crowd, spread, user_plans
from persona.demo.ranking.learn import FULL, QUICK, Learnt, learn
from persona.demo.ranking.plan import RankingPlan, UserPlan
from persona.demo.ranking.report import write_ranking_report
from persona.demo.ranking.storage import storage_figures
from persona.demo.run import timed, versions, write_results
from persona.demo.signed import sign_demo
from persona.export.ranking import RankingOptions, export_ranking
from persona.files import check_writable, write_whole
from persona.item_vectors import ITEMS_FILE, pack_items
from persona.processes import ServiceProcess, start_python, wait_for_all
from persona.progress import bars, phases
from persona.tasks.recommendation.events import EventLog
from persona.tasks.recommendation.fetch import ARCHIVES, fetch
from persona.tasks.recommendation.readers import open_log
from persona.tasks.recommendation.synthetic import WorldShape, make_world

STREAM_S = 600.0
SYNTHETIC = "synthetic"


SMALL = Crowd(devices=2, users=6, queries=10, every=3, shown=2, span=2)


def run_ranking_demo(folder: Path, data: Path | None, world: str, *, quick: bool, seed: int) -> dict[str, Any]:
    """Run the demo into a folder and return what ``results.json`` holds; DataError where there is no log."""
    folder = folder.resolve()
    check_writable(folder)
    seconds: dict[str, float] = {}
    crowd = SMALL if quick else Crowd()
    with timed(seconds, "data"):
        log = read_world(world, data, folder / "data", quick=quick, seed=seed)
    with timed(seconds, "train"), phases() as progress:
        learnt = learn(log, QUICK if quick else FULL, seed, progress)
    with timed(seconds, "export"):
        bundle = export_learnt(learnt, folder, seed)
        storage = storage_figures(learnt, folder / "controls", crowd.users * crowd.queries)
    with timed(seconds, "stream"), bars() as progress_bars:
        bar = progress_bars.add_task("devices", total=None, note="")
        figures = stream(folder, learnt, crowd, lambda done: progress_bars.update(bar, completed=done), seed)
    values = {
        **figures,
        "world": world,
        "log": {"events": len(log), "users": log.n_users, "items": log.n_items},
        "titles": titles_of(log, figures["shown"]),
        "storage": storage,
        "curves": learnt.curves,
        "bundle": _sizes(bundle, folder / "bundle"),
        "every": crowd.every,
        "quick": quick,
        "seed": seed,
        "seconds": {**seconds, "total": sum(seconds.values())},
        "versions": versions(),
        "machine": {"cores": os.cpu_count(), "processor": platform.machine(), "system": platform.system()},
    }
    write_results(values, folder / "results.json")
    write_ranking_report(values, folder / "report.html")
    return values


def read_world(world: str, data: Path | None, fetched: Path, *, quick: bool, seed: int) -> EventLog:
    """Return the log of a world: the synthetic one, or MovieLens-100K from a folder, or fetched into one."""
    if world == SYNTHETIC:
        shape = WorldShape(users=80, items=120, events=40) if quick else WorldShape()
        return make_world(shape, seed).log
    if data is None:
        data = fetched
        if not all((fetched / name).is_file() for name in ARCHIVES[world].files):
            fetch(ARCHIVES[world], fetched)
    return open_log(world, data)


def export_learnt(learnt: Learnt, folder: Path, seed: int) -> Bundle:
    """Write the bundle to ``folder/bundle``, and the item vectors from before the broadcast to ``folder/controls``."""
    vectors, bias = (part.detach().numpy() for part in learnt.head.table())
    write_whole(folder / "controls" / ITEMS_FILE, pack_items(vectors, bias))
    options = RankingOptions(broadcast=learnt.broadcast, texts=learnt.log.vectors, seed=seed)
    return export_ranking(
        learnt.head, learnt.adapter, learnt.features, np.sort(learnt.recent), folder / "bundle", options
    )


def stream(folder: Path, learnt: Learnt, crowd: Crowd, tick: Callable[[int], None], seed: int) -> dict[str, Any]:
    """Run service and devices as processes of their own, and return the figures; ServiceError where one fails."""
    keys = sign_demo(folder)
    plans = spread(user_plans(learnt, crowd), crowd.devices)
    records = [folder / "devices" / f"device-{number}.jsonl" for number in range(crowd.devices)]
    with ServiceProcess(folder / "bundle", folder / "logs" / "service.log", keys.reply) as service:
        processes = []
        for number, (users, path) in enumerate(zip(plans, records, strict=True)):
            path.unlink(missing_ok=True)
            home = folder / "devices" / f"device-{number}"
            home.mkdir(parents=True, exist_ok=True)
            processes.append(_start(_plan(service.url, folder, path, crowd.every, keys.root, users), home))
        named = dict(zip((path.stem for path in records), processes, strict=True))
        wait_for_all(named, STREAM_S, lambda: tick(sum(count_lines(path) for path in records)))
    return ranking_figures(records, np.random.default_rng(seed))


def titles_of(log: EventLog, shown: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Return the text, or the name, of every item that is on a list that is shown; keys are item numbers as text."""
    wanted = {item for one in shown for items in (one["met"], one["next"], *one["lists"].values()) for item in items}
    texts = log.texts or (None,) * log.n_items
    return {str(item): texts[item - 1] or log.item_names[item - 1] for item in sorted(wanted)}


def _plan(url: str, folder: Path, out: Path, every: int, root: Path, users: list[UserPlan]) -> RankingPlan:
    items = out.with_suffix("") / ITEMS_FILE
    return RankingPlan(url, str(out), str(items), str(folder / "controls" / ITEMS_FILE), str(root), every, users)


def _start(plan: RankingPlan, home: Path) -> subprocess.Popen[bytes]:
    path = home / "plan.json"
    plan.write(path)
    log = home.parent.parent / "logs" / f"{home.name}.log"
    return start_python(["-m", "persona.demo.ranking.device", str(path)], log)


def _sizes(bundle: Bundle, folder: Path) -> dict[str, Any]:
    files = {"device_bytes": DEVICE_FILE, "items_bytes": ITEMS_FILE, "cloud_bytes": CLOUD_FILE}
    sizes = {name: (folder / file).stat().st_size for name, file in files.items()}
    return {"fingerprint": bundle.fingerprint, **sizes, "prototypes": len(bundle.bank), "edit": bundle.spec.size}
