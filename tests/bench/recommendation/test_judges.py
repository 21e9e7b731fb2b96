"""Figures that were set by hand: what the judges say of them is known."""

import numpy as np
import pytest

from persona.bench.recommendation.intervals import relative_gain, share_closed
from persona.bench.recommendation.judges import verdicts
from persona.bench.recommendation.store import LARGEST_RANK, pack_ranks, unpack_ranks
from persona.bench.recommendation.summary import Cell, Stored, segments_of
from persona.bench.recommendation.tables import levels_table
from persona.errors import DataError

USERS = np.repeat(np.arange(20), 5)
QUERIES = len(USERS)


def cell(rank: float, loss: float = 5.0) -> Cell:
    return Cell(np.full((1, QUERIES), rank), np.full((1, QUERIES), loss), (0,))


def stored(name: str, **cells: Cell) -> Stored:
    queries = {"history": np.full(QUERIES, 60), "frequency": np.arange(QUERIES), "known": np.zeros(QUERIES, np.int64)}
    rows = {row.replace("_", "-"): value for row, value in cells.items()}
    return Stored(name, rows, USERS, segments_of(queries))


def outcomes(one: Stored, target: str) -> dict[str, str]:
    return {v.asked.partition(": ")[2]: v.outcome for v in verdicts({one.name: one}) if v.target == target}


def test_a_gain_is_relative_and_certain_where_all_queries_agree() -> None:
    one = stored("x/users", ours=cell(1), base=cell(3))  # gains of 1 and 1/2
    assert relative_gain(one, ("ours", "base")) == (100.0, 100.0, 100.0)


def test_a_share_of_the_gap_by_gain_and_by_loss() -> None:
    one = stored("x/stale", base=cell(7, 6.0), broadcast=cell(3, 5.1), retrained=cell(1, 5.0), ours=cell(3))
    share = share_closed(one, ("broadcast", "base", "retrained"))
    assert share.value == pytest.approx(100 * (1 / 2 - 1 / 3) / (1 - 1 / 3))
    found = outcomes(one, "R3")
    assert found["the broadcast closes 75 % of the NDCG gap"] == "missed"
    assert found["the broadcast closes 90 % of the NLL gap"] == "met"
    assert found["personal on top, 50 or more events: + 2 %"] == "missed"


def test_no_gap_is_no_share() -> None:
    one = stored("x/stale", base=cell(3), broadcast=cell(1), retrained=cell(3))
    assert np.isnan(share_closed(one, ("broadcast", "base", "retrained")).value)
    judged = next(v for v in verdicts({one.name: one}) if v.asked.endswith("closes 75 % of the NDCG gap"))
    assert (judged.found, judged.outcome) == ("no gap to close", "missed")
    table = levels_table(one)
    assert "no gap" in table
    assert "nan" not in table


def test_controls_decide_as_well_as_the_gain() -> None:
    one = stored("x/users", ours=cell(1), base=cell(3), ours_mean=cell(1), ours_shuffled=cell(7))
    found = outcomes(one, "R2")
    assert found["NDCG@10 + 5 %, significant"] == "met"
    assert found["the mean edit within 0.5 % of the base"] == "missed"
    assert found["the shuffled edit below the base"] == "met"
    assert found["over the constant edit, significant"] == "not measured"


def test_three_of_four_data_sets_decide_over_the_peers() -> None:
    rows = {"ours": cell(1), "duet": cell(3), "apg": cell(3), "faithful": cell(3)}
    three = {f"{name}/users": stored(f"{name}/users", **rows) for name in "abc"}
    assert [v.outcome for v in verdicts(three) if v.target == "R4"] == ["met"]
    assert [v.outcome for v in verdicts({"a/users": three["a/users"]}) if v.target == "R4"] == ["not measured"]


def test_rows_without_a_seed_in_common_do_not_compare() -> None:
    other = Cell(np.ones((1, QUERIES)), None, (1,))
    with pytest.raises(DataError, match="share no seed"):
        relative_gain(stored("x/users", ours=cell(1), base=other), ("ours", "base"))


def test_ranks_survive_packing_with_their_halves() -> None:
    ranks = np.asarray([1.0, 1.5, 10.5, 40_000.0])
    assert unpack_ranks(pack_ranks(ranks)).tolist() == [1.0, 1.5, 10.5, LARGEST_RANK]
    with pytest.raises(DataError, match="damaged"):
        unpack_ranks("?")
