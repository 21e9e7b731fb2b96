"""History in, the best items out; edits swapped whole; one user's runtime, and what it does when the cloud is wrong."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from persona.device import Backoff, Catalogue, Options, Pace, RankingRuntime, Recommender, Runtime
from persona.edit import Edit
from persona.errors import BundleError, CloudError, DataError, EditError
from persona.item_vectors import read_items
from persona.wire import AdaptReply, AdaptRequest
from tests.device.devices import Inline, LocalCloud
from tests.ranked import Ring
from tests.worlds import World


@pytest.fixture
def ring(tmp_path: Path) -> Ring:
    return Ring(tmp_path)


def recommender(ring: Ring) -> Recommender:
    return Recommender(ring.bundle, ring.catalogue)


def test_the_successor_comes_first(ring: Ring) -> None:
    found = recommender(ring).top_k([5, 1], 3)
    assert found.items.tolist() == [2, 3, 4]
    assert found.scores[0] == pytest.approx(1 - 2 / 64)


def test_what_was_met_is_left_out(ring: Ring) -> None:
    device = recommender(ring)
    assert device.top_k([2, 1], 2).items.tolist() == [3, 4]
    assert device.top_k([2, 1], 2, filter_seen=False).items.tolist() == [2, 1]
    assert device.top_k([1], 6, seen=[2, 3]).items.tolist() == [4, 5, 6]


@pytest.mark.parametrize(("history", "wanted"), [([], [1, 2]), ([6], [1, 2]), ([1, 2, 3, 4] * 5, [5, 6])])
def test_histories_of_any_length(ring: Ring, history: list[int], wanted: list[int]) -> None:
    assert recommender(ring).top_k(history, 2).items.tolist() == wanted


def test_an_edit_is_swapped_and_taken_back(ring: Ring) -> None:
    device = recommender(ring)
    device.put(ring.edit(-2.0))
    assert device.top_k([1], 2).items.tolist() == [3, 5]
    assert device.in_force.name == "by hand"
    device.put(None)
    assert device.top_k([1], 2).items.tolist() == [2, 3]
    assert device.in_force.name == "base"
    with pytest.raises(EditError, match=r"head\.side"):
        device.put(ring.edit(99.0))
    assert device.in_force.name == "base"


def test_candidates(ring: Ring) -> None:
    device = recommender(ring)
    assert np.allclose(device.score([1], [2, 4]), [1 - 2 / 64, -4 / 64])
    for wrong in ([7], [0], [2**63 - 1]):
        with pytest.raises(DataError, match="candidates"):
            device.score([1], wrong)


@pytest.mark.parametrize("history", [[7], [0], [-3], [2**40], [1.5], [[1, 2]], ["tea"]])
def test_histories_that_are_none(ring: Ring, history: list[object]) -> None:
    with pytest.raises(DataError, match="histor"):
        recommender(ring).top_k(history, 1)  # type: ignore[arg-type]


def test_another_catalogue_is_refused(ring: Ring, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = Ring(tmp_path / "other", with_texts=False).catalogue
    with pytest.raises(BundleError, match="exported with it"):
        Recommender(ring.bundle, other)
    with pytest.raises(BundleError, match="another file"):
        recommender(ring).offer(other)
    with pytest.raises(BundleError, match="not those of the bundle"):
        read_items(tmp_path / "other", ring.catalogue.fingerprint)


def test_a_bundle_that_ranks_and_one_that_does_not_name_what_runs_them(ring: Ring) -> None:
    with pytest.raises(BundleError, match=r"ranks no items; `persona\.device\.Runtime` runs it"):
        Recommender(World().bundle, ring.catalogue)
    with pytest.raises(BundleError, match=r"ranks items; a `persona\.device\.Recommender`"):
        Runtime(ring.bundle)
    with pytest.raises(BundleError, match="ranks items"):
        Runtime(ring.bundle, LocalCloud(ring.answer))


def test_a_query_of_another_width_is_refused(ring: Ring) -> None:
    narrow = Ring(ring.folder, items=5)
    wrong = replace(ring.bundle, graph=narrow.bundle.graph)
    with pytest.raises(BundleError):
        Recommender(wrong, ring.catalogue)


def test_newcomers_are_recommended_and_left_out_of_windows(ring: Ring) -> None:
    device = recommender(ring)
    device.offer(ring.catalogue.grown(ring.vectors[[3]] * 2))
    assert device.top_k([2], 1).items.tolist() == [7]
    assert device.top_k([2, 7], 1).items.tolist() == [3]  # the window ends with 2


def test_many_threads_see_one_edit_or_the_other(ring: Ring) -> None:
    device = recommender(ring)
    edits = [ring.edit(2.0), ring.edit(-2.0)]
    wanted = {(2, 4), (3, 5), (2, 3)}
    found: set[tuple[int, ...]] = set()

    def ask() -> None:
        for _ in range(200):
            found.add(tuple(device.top_k([1], 2).items.tolist()))

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for turn in range(200):
        device.put(edits[turn % 2])
    for thread in threads:
        thread.join()
    assert found <= wanted


def runtime(ring: Ring, cloud: LocalCloud, every: int = 0) -> RankingRuntime:
    return RankingRuntime(recommender(ring), cloud, every, executor=Inline())


def test_a_user_who_likes_even_items(ring: Ring) -> None:
    cloud = LocalCloud(ring.answer)
    device = runtime(ring, cloud)
    for time_s, item in enumerate((2, 4)):
        device.met(item, 100 + time_s)
    assert device.recommend(2).items.tolist() == [5, 1]
    status = device.adapt(now_s=111)
    assert (status.in_force, status.rung, status.placement) == ("prototype 0 + residual", "answer", "cloud")
    assert (status.asks, status.replies, status.refused, status.reason) == (1, 1, 0, "")
    assert device.recommend(2).items.tolist() == [6, 5]
    (request,) = cloud.requests
    assert request.values.dtype == np.int32
    assert request.values.tolist() == [[2, 11], [4, 10]]
    assert status.bytes_up == len(request.encode())
    assert int(np.argmax(device.scores())) == 2  # met items are left out of lists, not of scores


def test_it_asks_by_itself(ring: Ring) -> None:
    cloud = LocalCloud(ring.answer)
    device = runtime(ring, cloud, every=3)
    for time_s, item in enumerate((2, 4, 2, 4, 2, 4, 2)):
        device.met(item, time_s)
    assert len(cloud.requests) == 2
    device.close()
    for time_s, item in enumerate((2, 4, 2, 4)):
        device.met(item, time_s)
    assert len(cloud.requests) == 2


def test_an_executor_that_takes_no_work_never_shows_in_an_event(ring: Ring) -> None:
    executor = ThreadPoolExecutor(1)
    executor.shutdown()
    device = RankingRuntime(recommender(ring), LocalCloud(ring.answer), every=2, executor=executor)
    for time_s, item in enumerate((2, 4)):
        device.met(item, time_s)
    assert "the executor takes no requests" in device.status().reason
    assert device.recommend(2).items.tolist() == [5, 1]


def test_a_closed_runtime_says_that_it_asks_no_more(ring: Ring) -> None:
    cloud = LocalCloud(ring.answer)
    device = runtime(ring, cloud)
    for time_s, item in enumerate((2, 4)):
        device.met(item, time_s)
    device.close()
    assert "closed" in device.adapt().reason
    assert not cloud.requests


def test_a_status_says_what_was_put_in_force_by_hand(ring: Ring) -> None:
    recommends = recommender(ring)
    device = RankingRuntime(recommends, LocalCloud(ring.answer))
    assert (device.status().in_force, device.status().rung) == ("base", "base")
    recommends.put(ring.edit(1.0))
    assert (device.status().in_force, device.status().rung) == ("by hand", "by hand")


def test_a_request_holds_the_last_events_alone(ring: Ring) -> None:
    cloud = LocalCloud(ring.answer)
    device = runtime(ring, cloud)
    for time_s in range(30):
        device.met(1 + time_s % 6, time_s)
    device.adapt()
    assert cloud.requests[0].values.shape == (8, 2)
    assert cloud.requests[0].values[-1].tolist() == [6, 0]


def test_too_little_to_ask_with(ring: Ring) -> None:
    cloud = LocalCloud(ring.answer)
    device = runtime(ring, cloud)
    device.met(1, 0)
    assert "the adapter needs 2" in device.adapt().reason
    assert device.status().asks == 0


def test_a_clock_that_goes_backwards(ring: Ring) -> None:
    cloud = LocalCloud(ring.answer)
    device = runtime(ring, cloud)
    device.met(2, 1000)
    device.met(2, 10)  # duplicated, and earlier
    device.met(4, 2**62 - 1)
    device.adapt()
    assert cloud.requests[0].values.tolist() == [[2, 2**31 - 1], [2, 2**31 - 1], [4, 0]]
    for wrong in (-1, 2**62):
        with pytest.raises(DataError, match="whole seconds"):
            device.met(2, wrong)
    for item in (0, 7, 2**70):
        with pytest.raises(DataError, match="an event's item"):
            device.met(item, 5)


def test_what_goes_wrong_changes_nothing(ring: Ring) -> None:
    def absent(request: AdaptRequest) -> AdaptReply:
        raise CloudError("nobody is there")

    def broken(request: AdaptRequest) -> AdaptReply:
        raise RuntimeError("boom")

    def foreign(request: AdaptRequest) -> AdaptReply:
        return replace(ring.answer(request), fingerprint="0" * 64)

    def old(request: AdaptRequest) -> AdaptReply:
        return replace(ring.answer(request), bank_version=9)

    def unknown(request: AdaptRequest) -> AdaptReply:
        return replace(ring.answer(request), prototype=5)

    for adapter, said in (
        (absent, "nobody"),
        (broken, "boom"),
        (foreign, "bundle"),
        (old, "version"),
        (unknown, "prototype 5"),
    ):
        device = runtime(ring, LocalCloud(adapter))
        for time_s, item in enumerate((2, 4, 6)):
            device.met(item, time_s)
        status = device.adapt()
        assert (status.in_force, status.refused) == ("base", 1)
        assert said in status.reason


def test_an_edit_that_foretells_worse_is_refused(ring: Ring) -> None:
    def contrary(request: AdaptRequest) -> AdaptReply:
        return replace(ring.answer(request), prototype=1, residual=np.array([[-2.5, 0]], np.float32))

    device = runtime(ring, LocalCloud(contrary))
    for time_s, item in enumerate((2, 4, 6, 4, 2)):
        device.met(item, time_s)
    status = device.adapt()
    assert status.in_force == "base"
    assert "worse than the base" in status.reason


def test_the_zero_edit_is_the_base(ring: Ring) -> None:
    device = recommender(ring)
    before = device.top_k([3, 1], 4)
    device.put(Edit.zero(ring.spec))
    after = device.top_k([3, 1], 4)
    assert np.array_equal(before.items, after.items)
    assert np.array_equal(before.scores, after.scores)


def test_catalogues_are_mapped_not_read(ring: Ring) -> None:
    assert isinstance(ring.catalogue, Catalogue)
    items = read_items(ring.folder)
    assert not items.vectors.flags.owndata
    assert not items.vectors.flags.writeable


def test_after_a_failure_the_cloud_is_left_alone_for_a_while(ring: Ring) -> None:
    now = [0.0]

    def absent(request: AdaptRequest) -> AdaptReply:
        raise CloudError("nobody is there")

    cloud = LocalCloud(absent)
    options = Options(pace=Pace(backoff=Backoff(first_s=10.0, jitter=0.0)))
    device = RankingRuntime(recommender(ring), cloud, every=2, executor=Inline(), clock=lambda: now[0], options=options)
    for at_s, asks in ((0.0, 1), (9.0, 1), (11.0, 2), (30.0, 2), (31.0, 3)):
        now[0] = at_s
        for item in (2, 4):
            device.met(item, 5)
        assert len(cloud.requests) == asks, at_s


def test_an_expired_edit_gives_way_and_is_asked_for_again(ring: Ring) -> None:
    now = [0.0]
    cloud = LocalCloud(lambda request: replace(ring.answer(request), expires_s=60))
    device = RankingRuntime(recommender(ring), cloud, every=3, executor=Inline(), clock=lambda: now[0])
    for item in (2, 4, 2):
        device.met(item, 5)
    assert (device.status().rung, len(cloud.requests)) == ("answer", 1)
    now[0] = 60.0
    assert device.recommend(2).items.tolist() == [3, 1]
    status = device.status()
    assert (status.in_force, status.rung) == ("base", "base")
    assert "expired" in status.guarded
    device.met(4, 5)
    assert (device.status().rung, len(cloud.requests)) == ("answer", 2)
