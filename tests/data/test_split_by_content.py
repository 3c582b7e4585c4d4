"""The split by content: the order of rows and columns, the training seed and a file's form move nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.core.records import Opening
from workbench.core.types import DataSpec, Split
from workbench.data import content, divisions, load, unseal
from workbench.data.division import divide
from workbench.data.preprocessing.cells import as_arrow
from workbench.data.sources import read
from workbench.data.splits import folds, split_rows

SEEDS = st.integers(0, 2**31)
SPLIT = Split(0.6, 0.2, 0.2)


def table(n: int = 240, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "size": rng.normal(50, 20, n),
            "count": rng.integers(0, 400, n),
            "city": rng.choice(["Rom", "Bonn", "Oslo"], n),
            "who": rng.integers(0, n // 8, n),
            "when": pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 30, n), unit="D"),
            "kind": rng.choice(["a", "b", "c"], n, p=[0.5, 0.3, 0.2]),
        }
    )


def parts(folder: Path, frame: pd.DataFrame, suffix: str = "csv", **keys: object) -> list[list[str]]:
    """What the rows of each part hold, whatever their order and that of their columns."""
    if suffix == "csv":
        frame.to_csv(folder / "a.csv", index=False)
    else:
        frame.to_parquet(folder / "a.parquet", index=False)
    spec = DataSpec(source=f"a.{suffix}", folder=folder, target="kind", **keys)  # type: ignore[arg-type]
    division = divide(read(spec), spec)
    lines = frame[sorted(frame.columns)].astype(str).agg("|".join, axis=1).to_numpy()
    return [sorted(lines[rows]) for rows in division[:3]]


@pytest.mark.parametrize("keys", [{}, {"group": "who"}, {"time": "when"}])
def test_neither_order_nor_form_nor_seed_moves_a_row(tmp_path: Path, keys: dict[str, str]) -> None:
    frame = table()
    before = parts(tmp_path, frame, **keys)
    assert [len(part) for part in before] == pytest.approx([144, 48, 48], abs=10 if "group" in keys else 1)
    shuffled = frame.sample(frac=1.0, random_state=1)
    assert parts(tmp_path, shuffled, **keys) == before
    assert parts(tmp_path, frame[list(frame.columns[::-1])], **keys) == before
    assert parts(tmp_path, shuffled, "parquet", **keys) == before
    assert parts(tmp_path, frame, seed=7, **keys) == before
    assert parts(tmp_path, frame, drop=("city",), **keys) == before
    assert parts(tmp_path, frame, split_seed=1, **keys) != before  # in time, it decides between equal moments
    assert parts(tmp_path, shuffled, split_seed=1, **keys) == parts(tmp_path, frame, split_seed=1, **keys)


@settings(max_examples=40, deadline=None)
@given(counts=st.lists(st.integers(8, 60), min_size=1, max_size=6), seed=SEEDS, k=st.integers(2, 6))
def test_shuffled_rows_keep_their_part(counts: list[int], seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    codes = np.repeat(np.arange(len(counts)), counts)
    rows = rng.integers(0, 2**63, len(codes)).astype(np.uint64)
    order = rng.permutation(len(codes))

    def sets(of: np.ndarray) -> list[set[int]]:
        chosen = split_rows(codes[of], len(of), SPLIT, seed, True, content=rows[of])
        pairs = folds(codes[of], len(of), k, seed, True, content=rows[of])
        return [set(rows[of][part].tolist()) for part in (*chosen, *(pair[1] for pair in pairs))]

    found = sets(np.arange(len(codes)))
    assert sets(order) == found
    for part, share in zip(found[:3], SPLIT, strict=True):  # no copies: within a row, in every class
        assert abs(len(part) - share * len(codes)) < 1 + 1e-6
        inside = np.bincount(codes[np.isin(rows, list(part))], minlength=len(counts))
        assert (np.abs(inside - share * np.array(counts)) < 1 + 1e-6).all()
    for part in found[3:]:
        assert len(part) in (len(codes) // k, -(-len(codes) // k))
    assert sum(len(part) for part in found[:3]) == sum(len(part) for part in found[3:]) == len(codes)


@settings(max_examples=80, deadline=None)
@given(
    runs=st.lists(st.lists(st.integers(1, 9), min_size=6, max_size=40), min_size=1, max_size=4), seed=SEEDS
)
def test_copies_land_on_one_side(runs: list[list[int]], seed: int) -> None:
    rng = np.random.default_rng(seed)
    codes = np.concatenate([np.full(sum(lengths), c) for c, lengths in enumerate(runs)])
    rows = np.concatenate(
        [np.repeat(rng.integers(0, 2**63, len(lengths)).astype(np.uint64), lengths) for lengths in runs]
    )
    found = split_rows(codes, len(codes), SPLIT, seed, True, content=rows)
    assert np.array_equal(np.sort(np.concatenate(found)), np.arange(len(codes)))
    for i, part in enumerate(found):
        for other in found[i + 1 :]:
            assert not np.isin(rows[part], rows[other]).any()
        for c, lengths in enumerate(runs):
            inside = int((codes[part] == c).sum())
            assert inside > 0
            assert abs(inside - SPLIT[i] * sum(lengths)) <= max(lengths) + 1
    for train, validation in folds(codes, len(codes), 4, seed, True, content=rows):
        assert not np.isin(rows[validation], rows[train]).any()


@settings(max_examples=60, deadline=None)
@given(pairs=st.integers(0, 20), singles=st.integers(30, 100), large=st.integers(1, 15), seed=SEEDS)
def test_shares_are_met_where_single_rows_can_mend_them(
    pairs: int, singles: int, large: int, seed: int
) -> None:
    lengths = np.array([1] * singles + [2] * pairs + [large])
    rows = np.repeat(np.random.default_rng(seed).integers(0, 2**63, len(lengths)).astype(np.uint64), lengths)
    for part, share in zip(split_rows(None, len(rows), SPLIT, seed, False, content=rows), SPLIT, strict=True):
        assert abs(len(part) - share * len(rows)) <= 2


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, more=st.integers(1, 60), n_classes=st.integers(1, 4))
def test_appended_rows_move_few(seed: int, more: int, n_classes: int) -> None:
    """A cut moves by a binomial's distance from its mean: five deviations at most, and a row for rounding."""
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, 2**63, 1000 + more).astype(np.uint64)
    codes = rng.integers(0, n_classes, 1000 + more)
    before = split_rows(codes[:1000], 1000, SPLIT, 3, True, content=rows[:1000])
    after = split_rows(codes, 1000 + more, SPLIT, 3, True, content=rows)
    part = np.empty((2, 1000), int)
    for p in range(3):
        part[0, before[p]] = p
        part[1, after[p][after[p] < 1000]] = p
    assert (part[0] != part[1]).sum() <= 2 * (5 * np.sqrt(0.24 * more * n_classes) + 2 * n_classes)


def test_a_class_of_one_different_row_is_divided_and_it_is_said(tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": [*range(60), *[7] * 20], "kind": ["a"] * 60 + ["b"] * 20})
    frame.to_csv(tmp_path / "a.csv", index=False)
    dataset, sealed = load(DataSpec(source="a.csv", folder=tmp_path, target="kind"))
    assert np.bincount(dataset.target[dataset.validation]).tolist() == [12, 4]
    assert sealed.rows == 16
    assert "4 of 16 test rows are copies of rows that are trained or selected on" in dataset.notes[0]
    kinds = pd.DataFrame({"x": [0, 0, 1, 1] * 50, "y": [0, 1, 0, 1] * 50})  # two different rows in each class
    kinds["kind"] = np.where(kinds["x"] == kinds["y"], "a", "b")
    kinds.to_csv(tmp_path / "a.csv", index=False)
    dataset, sealed = load(DataSpec(source="a.csv", folder=tmp_path, target="kind"))
    assert (len(dataset.train), len(dataset.validation), sealed.rows) == (120, 40, 40)


@settings(max_examples=30, deadline=None)
@given(moments=st.lists(st.integers(0, 6), min_size=20, max_size=80), seed=SEEDS)
def test_ties_in_time_are_broken_by_content(moments: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    time, rows = np.array(moments), rng.integers(0, 12, len(moments)).astype(np.uint64)
    order = rng.permutation(len(time))

    def held(of: np.ndarray) -> list[list[tuple[int, int]]]:
        found = split_rows(None, len(of), SPLIT, 0, False, time=time[of], content=rows[of])
        return [sorted(zip(time[of][part].tolist(), rows[of][part].tolist(), strict=True)) for part in found]

    assert held(order) == held(np.arange(len(time)))
    train, validation, test = held(order)
    assert max(t for t, _ in train) <= min(t for t, _ in validation)
    assert max(t for t, _ in validation) <= min(t for t, _ in test)


def test_hold_outs_differ_from_the_split_and_from_each_other(tmp_path: Path) -> None:
    table().to_csv(tmp_path / "a.csv", index=False)
    keys = {"source": "a.csv", "folder": tmp_path, "target": "kind", "holdouts": 4}
    dataset, _ = load(DataSpec(**keys))  # type: ignore[arg-type]
    held = [set(part.validation.tolist()) for part in (dataset, *divisions(dataset))]
    for i, one in enumerate(held):
        for other in held[i + 1 :]:
            assert len(one & other) < 0.5 * len(one)  # a quarter is expected by chance
    again, _ = load(DataSpec(**keys, seed=5))  # type: ignore[arg-type]
    assert [set(part.validation.tolist()) for part in (again, *divisions(again))] == held


def test_what_test_rows_hold_is_sealed_as_before_under_another_training_seed(tmp_path: Path) -> None:
    table().to_csv(tmp_path / "a.csv", index=False)
    specs = [DataSpec(source="a.csv", folder=tmp_path, target="kind", seed=seed) for seed in (0, 1)]
    (one, sealed), (other, again) = map(load, specs)
    assert sealed == again
    assert one.fingerprint == other.fingerprint
    opened = unseal(sealed, other, Opening("s", sealed.fingerprint, "c", 1))
    assert len(opened.x) == sealed.rows


# ── content ──


def cell(*texts: object) -> list[int]:
    return content.of_cells(as_arrow(pd.Series(texts, dtype=object))).tolist()


def test_cells_that_say_the_same_are_the_same() -> None:
    for same in (
        ("1", "1.0", " 1", "+1", "1e0", "01"),
        ("Rom", "rom", " ROM "),
        ("", "NA", "nan", "NULL", " ?", "inf", "-Infinity", "1e999"),
        ("2020-01-31", "2020-01-31 00:00:00", "2020-01-31T00:00", "2020-01-31 00:00:00.000"),
        ("0.1", "0.1000000001", "1e-1"),
        ("0", "-0", "0.0"),
    ):
        assert len(set(cell(*same))) == 1, same
        assert len({cell(one)[0] for one in same}) == 1, same  # alone in its column
    assert set(cell("", "na", None)) == {0}
    different = cell(
        "1", "2", "a", "b", "ab", "ba", "2020-01-31", "2020-02-01", "16777216", "16777217", "x" * 9
    )
    assert len(set(different)) == len(different)


@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(
        st.one_of(st.integers(-(2**53), 2**53), st.floats(allow_nan=True, width=32)), min_size=1, max_size=30
    )
)
def test_numbers_are_the_same_in_text_and_in_every_type(values: list[float]) -> None:
    numbers = np.array(values, np.float64)
    expected = content.of_cells(pa.array(numbers)).tolist()
    assert content.of_cells(pa.array([repr(float(v)) for v in numbers])).tolist() == expected
    assert content.of_cells(pa.array([repr(float(v)) for v in numbers] + ["x"])).tolist()[:-1] == expected
    single = numbers.astype(np.float32)
    assert np.array_equal(
        content.of_cells(pa.array(single)), content.of_cells(pa.array(single.astype(np.float64)))
    )


def test_rows_of_arrays(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (200, 6, 6, 1)).astype(np.uint8), rng.integers(0, 3, 200)
    rows = content.of_rows(x, y)
    assert len(np.unique(rows)) == 200
    np.testing.assert_array_equal(content.of_rows(x.astype(np.float64), y.astype(np.int8)), rows)
    np.testing.assert_array_equal(content.of_rows(x[::-1], y[::-1]), rows[::-1])
    bits = rng.integers(0, 2, (2000, 30)).astype(np.float32)
    assert len(np.unique(content.of_rows(bits))) == len(np.unique(bits, axis=0))
    frame = pd.DataFrame(bits).add_prefix("c")
    assert len(np.unique(content.of_rows(frame))) == len(np.unique(bits, axis=0))
    steps = rng.normal(size=(50, 4, 2))
    padded = np.concatenate([steps, np.full((50, 3, 2), np.nan)], axis=1)
    np.testing.assert_array_equal(content.of_rows(padded), content.of_rows(steps))
    order = rng.permutation(200)
    sets = []
    for chosen in (np.arange(200), order):
        np.savez(tmp_path / "a.npz", x=x[chosen], y=y[chosen])
        spec = DataSpec(source="a.npz", folder=tmp_path)
        sets.append([set(chosen[rows].tolist()) for rows in divide(read(spec), spec)[:3]])
    assert sets[0] == sets[1]


def test_never_changes() -> None:
    """Seals depend on this: another content or order would break every recorded study."""
    number = np.arange(30)
    names = ["Rom", "Bonn", "a name of more than eight letters"]
    frame = pd.DataFrame(
        {
            "whole": number,
            "part": number / 7,
            "name": [names[i % 3] for i in number],
            "when": pd.Timestamp("2020-01-01") + pd.to_timedelta(number, unit="h"),
            "flag": number % 2 == 0,
        }
    )
    rows = content.of_rows(frame)
    test = split_rows(None, 30, SPLIT, 0, False, content=rows)[2]
    images = content.of_rows(number.reshape(5, 2, 3, 1) / 4, np.arange(5))
    assert [f"{int(row):016x}" for row in (rows[0], rows[29], images[4])] == [
        "703151fb86caf939",
        "b772d8533163d741",
        "9efb06ac1b278326",
    ]
    assert test.tolist() == [9, 16, 19, 23, 24, 28]
