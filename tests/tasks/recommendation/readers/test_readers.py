"""Readers: every format written by hand and read back, damaged files, and the published sizes of real data."""

from __future__ import annotations

import gzip
import json
import sys
import tracemalloc
import types
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from persona.errors import CatalogError, DataError
from persona.tasks.recommendation.events import EventLog
from persona.tasks.recommendation.readers import delimited, open_log
from persona.tasks.recommendation.readers.amazon import OFFICE_LATE, OFFICE_MID
from persona.tasks.recommendation.readers.atomic import read_atomic
from persona.tasks.recommendation.readers.delimited import Dialect, read_chunks
from persona.tasks.recommendation.readers.tables import Naming, read_csv, read_parquet
from persona.tasks.recommendation.readers.vectors import read_vectors
from persona.tasks.recommendation.splits import temporal_at


def write(file: Path, text: str, encoding: str = "utf-8") -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    data = text.encode(encoding)
    file.write_bytes(gzip.compress(data) if file.suffix == ".gz" else data)
    return file


def events(log: EventLog) -> list[tuple[str, str]]:
    return [(log.user_names[user], log.item_names[item - 1]) for user, item in zip(log.users, log.items, strict=True)]


EXPECTED = [("1", "20"), ("1", "10"), ("2", "10")]


@pytest.mark.parametrize("name", ["log.csv", "log.csv.gz"])
def test_csv_with_the_usual_names(tmp_path: Path, name: str) -> None:
    file = write(tmp_path / name, "user_id,item_id,rating,timestamp\n2,10,4,7\n1,10,3.5,9\n1,20,5,8\n\n")
    log = read_csv(file)
    assert events(log) == EXPECTED
    assert log.ratings is not None
    assert log.ratings.tolist() == [5, 3.5, 4]
    assert events(open_log("csv", file)) == EXPECTED


def test_csv_with_other_names_and_without_times(tmp_path: Path) -> None:
    file = write(tmp_path / "log.csv", 'who,"what, exactly"\nann,"a ""b"""\nann,é\n')
    log = read_csv(file, Naming("who", "what, exactly"))
    assert events(log) == [("ann", 'a "b"'), ("ann", "é")]
    assert log.times is None
    assert log.ratings is None


def test_parquet(tmp_path: Path) -> None:
    file = tmp_path / "log.parquet"
    columns = {"user_id": [2, 1, 1], "item_id": ["10", "10", "20"], "timestamp": [7, 9, 8], "other": [0, 0, 0]}
    parquet.write_table(pa.table(columns), file, row_group_size=2)
    assert events(read_parquet(file)) == EXPECTED
    assert events(open_log("parquet", file)) == EXPECTED


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"user_id": [1, None], "item_id": [1, 2]}, "column 'user_id' of .* has 1 empty cells"),
        ({"user_id": [1]}, "wanted also item_id"),
        (
            {"user_id": [1], "item_id": [1], "timestamp": pa.array([5], pa.timestamp("ms"))},
            r"holds timestamp\[ms\]; wanted seconds as numbers",
        ),
    ],
)
def test_parquet_that_is_no_log(tmp_path: Path, columns: dict[str, Any], message: str) -> None:
    parquet.write_table(pa.table(columns), tmp_path / "log.parquet")
    with pytest.raises(DataError, match=message):
        read_parquet(tmp_path / "log.parquet")


def test_parquet_that_is_damaged_or_absent(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        read_parquet(write(tmp_path / "log.parquet", "PAR1 nothing PAR1"))
    with pytest.raises(DataError, match=r"none\.parquet does not exist"):
        read_parquet(tmp_path / "none.parquet")


def test_parquet_without_pyarrow_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(DataError, match=r"pip install 'persona-edge\[data\]'"):
        read_parquet(tmp_path / "log.parquet")


def test_atomic_files_with_texts(tmp_path: Path) -> None:
    write(
        tmp_path / "toy.inter.gz",
        "user_id:token\titem_id:token\trating:float\ttimestamp:float\n2\t10\t4\t7\n1\t10\t3\t9.0\n1\t20\t5\t8\n",
    )
    items = 'item_id:token\ttitle:token_seq\tyear:token\tclass:token_seq\n10\tA "film\t1999\tDrama\n20\t\t1998\t\n'
    write(tmp_path / "toy.item", items)
    log = read_atomic(tmp_path)
    assert events(log) == EXPECTED
    assert log.texts == ('A "film. Drama', None)
    assert events(open_log("atomic", tmp_path / "toy.inter.gz")) == EXPECTED


def test_atomic_files_need_types_and_one_log(tmp_path: Path) -> None:
    write(tmp_path / "a.inter", "user_id\titem_id\n1\t2\n")
    with pytest.raises(DataError, match="wanted each with its type, as in user_id:token"):
        read_atomic(tmp_path)
    write(tmp_path / "a.inter", "user_id:token\tfilm:token\n1\t2\n")
    with pytest.raises(DataError, match="wanted also item_id:token"):
        read_atomic(tmp_path)
    write(tmp_path / "b.inter", "")
    with pytest.raises(DataError, match=r"one \.inter file and has a\.inter, b\.inter"):
        read_atomic(tmp_path)


def test_movielens_as_published(tmp_path: Path) -> None:
    write(tmp_path / "ml-100k" / "u.data", "2\t10\t4\t7\n1\t10\t3\t9\n1\t20\t5\t8\n")
    film = "10|Amélie (2001)|01-Jan-2001||http://x|" + "|".join("0" * 19) + "\n"
    write(tmp_path / "ml-100k" / "u.item", film, "latin-1")
    log = open_log("ml-100k", tmp_path)
    assert events(log) == EXPECTED
    assert log.texts == ("Amélie (2001)", None)
    write(tmp_path / "ml-1m" / "ratings.dat", "2::10::4::7\n1::10::3::9\n1::20::5::8\n")
    write(tmp_path / "ml-1m" / "movies.dat", "10::Amélie: a film (2001)::Comedy|Romance\n", "latin-1")
    log = open_log("ml-1m", tmp_path / "ml-1m")
    assert events(log) == EXPECTED
    assert log.texts == ("Amélie: a film (2001). Comedy|Romance", None)
    assert log.times is not None


def test_movielens_by_place(tmp_path: Path) -> None:
    text = "user_id,movie_id,rating,seq_pos,timestamp\n1,10,3,2,\n1,20,5,1,\n2,10,4,1,99\n2,30,4,0,\n"
    write(tmp_path / "ratings.csv.gz", text)
    np.savez(tmp_path / "title_genre_minilm.npz", movie_id=[10], emb=np.ones((1, 2), np.float16))
    log = open_log("ml-1m", tmp_path)
    assert events(log) == EXPECTED
    assert log.times is None
    assert log.ratings is not None
    assert log.ratings.tolist() == [5, 3, 4]
    assert log.vectors is not None
    assert log.vectors.tolist() == [[0, 0], [1, 1], [0, 0]]
    write(tmp_path / "ratings.csv.gz", "user_id,movie_id,rating,seq_pos\n1,ten,3,2\n")
    with pytest.raises(DataError, match="something else than whole numbers"):
        open_log("ml-1m", tmp_path)


def test_amazon_sequences(tmp_path: Path) -> None:
    write(tmp_path / "sequences.csv.gz", "user_id,item_ids\n1,20 10\n2,10\n")
    write(tmp_path / "items.csv.gz", "item_id,asin,title,keywords\n10,B1,,nail lacquer\n20,B2,,\n")
    log = open_log("amazon_beauty", tmp_path)
    assert events(log) == EXPECTED
    assert log.texts == ("nail lacquer", None)


def test_amazon_with_times(tmp_path: Path) -> None:
    write(tmp_path / "g" / "interactions.csv", "user_id,item_id,time\n2,10,7\n1,10,9\n1,20,8\n")
    assert events(open_log("amazon_grocery", tmp_path / "g")) == EXPECTED
    write(tmp_path / "h" / "ratings.csv", "user_id,item_id,rating,timestamp\n2,10,1,7\n1,10,2,9\n1,20,3,8\n")
    log = open_log("amazon_hin", tmp_path / "h")
    assert events(log) == EXPECTED
    assert log.ratings is not None
    assert log.ratings.tolist() == [3, 2, 1]


def test_amazon_by_period_is_cut_where_the_source_cuts(tmp_path: Path) -> None:
    rows = "1,20,1,early\n1,10,2,early\n1,30,3,mid\n1,40,4,late\n2,10,2,late\n2,20,1,early\n"
    write(tmp_path / "interactions.csv.gz", "user_id,item_id,seq_pos,period\n" + rows)
    log = open_log("amazon_office", tmp_path)
    assert [item for user, item in events(log) if user == "1"] == ["20", "10", "30", "40"]
    split = temporal_at(log, OFFICE_MID, OFFICE_LATE)
    assert (split.train.tolist(), split.validation.tolist(), split.test.tolist()) == ([1], [2], [3, 5])
    write(tmp_path / "interactions.csv.gz", "user_id,item_id,seq_pos,period\n1,2,1,soon\n")
    with pytest.raises(DataError, match="an event at place '1' of period 'soon'"):
        open_log("amazon_office", tmp_path)
    write(tmp_path / "interactions.csv.gz", f"user_id,item_id,seq_pos,period\n1,2,{'9' * 5000},early\n")
    with pytest.raises(DataError, match="wanted a place from 1 to 11574"):
        open_log("amazon_office", tmp_path)


def test_names_come_from_the_catalogue_or_from_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outside = types.ModuleType("outside_logs")
    outside.mine = lambda place: EventLog.of([json.loads(place.read_text())], ["a"])  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "outside_logs", outside)
    assert open_log("outside_logs:mine", write(tmp_path / "one.json", "5")).user_names == ("5",)
    with pytest.raises(CatalogError, match=r"'ml-2m' is not among the logs: .*ml-1m"):
        open_log("ml-2m", tmp_path)
    with pytest.raises(DataError, match=r"data set 'ml-1m' is not at .*nowhere"):
        open_log("ml-1m", tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"has none of ratings\.csv, nor one with \.gz"):
        open_log("ml-1m", tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty; wanted a first line|wanted also user_id"),
        ("user_id,item_id\n", "the log has no events"),
        ("user_id\n1\n", "has the columns user_id; wanted also item_id"),
        ("user_id,item_id\n1,2\n3\n", "row 2 of data file .* has 1 fields; wanted 2"),
        ("user_id,item_id\n1,2\n3,4,5\n", "row 2 of data file .* has 3 fields; wanted 2"),
        ("user_id,item_id\n1,\n", "item id '' is neither text nor a whole number"),
        ("user_id,item_id,timestamp\n1,2,yesterday\n", "time of event 0 is .*yesterday"),
        ("user_id,item_id,rating\n1,2,\n", "rating of event 0"),
        ("user_id,item_id\n1," + "x" * (delimited.LONGEST_LINE + 9), "a line of over 1,048,576 characters"),
    ],
)
def test_tables_that_are_none_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_csv(write(tmp_path / "log.csv", text))


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    good = gzip.compress(b"user_id,item_id\n" + b"1,2\n" * 5000)
    (tmp_path / "cut.csv.gz").write_bytes(good[:-20])
    (tmp_path / "none.csv.gz").write_bytes(b"plain text")
    (tmp_path / "latin.csv").write_bytes("user_id,item_id\né,1\n".encode("latin-1"))
    (tmp_path / "folder.csv").mkdir()
    for name in ("cut.csv.gz", "none.csv.gz", "latin.csv", "folder.csv"):
        with pytest.raises(DataError, match=f"{name} cannot be read"):
            read_csv(tmp_path / name)
    with pytest.raises(DataError, match=r"absent\.csv does not exist"):
        read_csv(tmp_path / "absent.csv")
    with pytest.raises(DataError, match=r"absent\.csv does not exist"):
        list(read_chunks(tmp_path / "absent.csv"))


def test_vectors_that_are_none_are_refused(tmp_path: Path) -> None:
    for name, arrays in {
        "short": {"item_id": [1], "emb": np.zeros((2, 3))},
        "whole": {"item_id": [1], "emb": np.zeros((1, 3), np.int64)},
        "other": {"id": [1]},
    }.items():
        np.savez(tmp_path / f"{name}.npz", **{key: np.asarray(value) for key, value in arrays.items()})
        with pytest.raises(DataError, match=f"{name}.npz has"):
            read_vectors(tmp_path / f"{name}.npz")
    with pytest.raises(DataError, match="cannot be read as npz"):
        read_vectors(write(tmp_path / "bad.npz", "PK"))


def test_a_table_is_read_in_bounded_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of 2 MB of text takes less than 1.5 MB to read in chunks, its 80,000 events included."""
    rng = np.random.default_rng(0)
    rows = zip(rng.integers(10**9, 10**9 + 500, 80_000), rng.integers(10**9, 10**9 + 300, 80_000), strict=True)
    file = write(tmp_path / "log.csv", "u,i\n" + "".join(f"{user},{item}\n" for user, item in rows))
    monkeypatch.setattr(delimited, "ROWS", 1 << 10)
    from persona.tasks.recommendation.collecting import Collector

    collector = Collector()
    tracemalloc.start()
    try:
        for chunk in read_chunks(file, ("u", "i"), Dialect()):
            collector.add(chunk["u"], chunk["i"])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert file.stat().st_size > 1.7e6
    assert peak < 1.5e6


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("ml-100k", (100_000, 943, 1_682)),
        ("amazon_beauty", (198_502, 22_363, 12_101)),
        ("amazon_toys", (167_597, 19_412, 11_924)),
        ("amazon_instruments", (206_153, 24_772, 9_922)),
        ("amazon_office", (22_447, 3_231, 3_317)),
        ("amazon_grocery", (121_892, 14_681, 8_687)),
        ("amazon_hin", (195_791, 6_170, 2_753)),
        pytest.param("ml-1m", (999_611, 6_040, 3_416), marks=pytest.mark.slow),
    ],
)
def test_real_data_has_the_published_sizes(shared_data: Path, name: str, sizes: tuple[int, int, int]) -> None:
    log = open_log(name, shared_data)
    assert (len(log), log.n_users, log.n_items) == sizes
