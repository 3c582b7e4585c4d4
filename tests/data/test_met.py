"""Rows are met again whatever became of their table, and other rows of the same law are not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.study.test_further_looks import CHANGES, table
from workbench.data.marks import row_marks
from workbench.data.met import Met, Table, comparable, met
from workbench.data.sketches import Sketch, read, sketch
from workbench.storage.ledger.encounters import Rows, encounter

ROWS = 200
Change = Callable[[pd.DataFrame], pd.DataFrame]


def sketched(frame: pd.DataFrame, target: str = "kind") -> Sketch:
    return sketch(frame.reset_index(drop=True), None, target)


def among(whole: Sketch, rows: np.ndarray, earlier: Sketch) -> Met:
    """Which of some rows of a table were met before; its others are development rows."""
    others = np.setdiff1d(np.arange(whole.rows), rows)
    return met(whole.take(rows), earlier, Table(whole.take(rows), whole.take(others)))


#: Changes of a table that leave its rows where they are.
IN_PLACE = [name for name in CHANGES if name not in ("shuffled", "the first row deleted", "rows appended")]


@pytest.mark.parametrize("change", IN_PLACE)
@settings(max_examples=3)
@given(seed=st.integers(0, 1000))
def test_rows_are_met_again_in_a_changed_table(change: str, seed: int) -> None:
    """In the same test rows, and in another split of which some were opened."""
    changed, edits = CHANGES[change]
    frame = table(seed, ROWS)
    after = changed(frame)
    target = "KIND" if "KIND" in "".join(edits.values()) else "kind"
    earlier, whole = sketched(frame).take(np.arange(40)), sketched(after, target)
    assert among(whole, np.arange(40), earlier).share > 0.97
    split = np.random.default_rng(seed).permutation(ROWS)[:40]
    known = split < 40
    found = among(whole, split, earlier)
    assert abs(found.share - known.mean()) <= 0.06
    if known.any():
        assert found.rows[known].mean() > 0.9


def counts(seed: int, rows: int = 300) -> pd.DataFrame:
    """Mostly zeros; an age and an income; a rare class."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(rng.poisson(0.3, (rows, 9)), columns=[f"n{j}" for j in range(9)]).astype(float)
    frame["age"], frame["income"] = rng.integers(18, 80, rows), np.exp(rng.normal(10, 1, rows)).round(2)
    return frame.assign(kind=np.where(rng.random(rows) < 0.1, "yes", "no"))


def measured(seed: int, rows: int = 200) -> pd.DataFrame:
    """Few columns and a target that is a number."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(rng.normal(size=(rows, 3)).round(3), columns=list("abc"))
    frame["weight"] = rng.gamma(3, 20, rows).round(1)
    return frame.assign(kind=(2 * frame["a"] + frame["weight"] / 30 + rng.normal(size=rows)).round(3))


def still(seed: int, rows: int = 300) -> pd.DataFrame:
    """Many columns of which most rest at zero."""
    return measured(seed, rows).assign(**{f"rest{j}": 0.0 for j in range(40)})


def each(change: Callable[[pd.Series], pd.Series], *, step: int = 1, target: bool = False) -> Change:
    """A change of every column of numbers, or of every other one."""

    def changed(frame: pd.DataFrame) -> pd.DataFrame:
        numbers = [name for name in frame.select_dtypes("number") if target or name != "kind"]
        return frame.assign(**{name: change(frame[name]) for name in numbers[::step]})

    return changed


def shaken(column: pd.Series) -> pd.Series:
    return column + 1e-2 * np.random.default_rng(4).normal(size=len(column))


@pytest.mark.parametrize("made", [table, counts, measured, still])
@pytest.mark.parametrize(
    "changed",
    [
        pytest.param(each(lambda x: 1000 * x, step=2), id="kilograms and grams"),
        pytest.param(each(lambda x: 2.54 * x + 7, target=True), id="other units, also of the target"),
        pytest.param(each(lambda x: (x - x.mean()) / (x.std() or 1.0)), id="standardized"),
        pytest.param(each(shaken, target=True), id="noise, also of the target"),
        pytest.param(each(lambda x: x.round(1), target=True), id="rounded, also of the target"),
        pytest.param(lambda d: d.assign(again=d[d.columns[0]]), id="a column twice"),
        pytest.param(
            lambda d: each(lambda x: 2.2 * x)(d).rename(columns={c: c * 3 for c in d if c != "kind"}),
            id="renamed in other units",
        ),
        pytest.param(lambda d: d.assign(**d.select_dtypes("number").astype(np.float32)), id="single"),
    ],
)
def test_rows_of_other_tables_are_met_again(made: Callable[[int], pd.DataFrame], changed: Change) -> None:
    frame = made(3)
    n, opened = len(frame), len(frame) // 5
    whole, earlier = sketched(changed(frame)), sketched(frame).take(np.arange(opened)).kept()
    split = np.random.default_rng(5).permutation(n)[:opened]
    assert among(whole, split, earlier).share == pytest.approx((split < opened).mean(), abs=0.05)


@pytest.mark.parametrize("made", [table, counts, measured])
def test_nobody_is_accused_for_a_row_that_is_like_another(made: Callable[[int], pd.DataFrame]) -> None:
    """Not even of one row, in a dozen studies of as many samples."""
    sketches = [sketched(made(seed)) for seed in range(13)]
    earlier = sketches[0].take(np.arange(40)).kept()
    assert sum(among(other, np.arange(40), earlier).share > 0 for other in sketches[1:]) == 0


def test_a_few_rows_of_few_values_do_not_make_a_whole_file() -> None:
    """Ranks and counts among 24 rows tell nothing of them."""
    accused = 0.0
    for seed in range(30):
        rng = np.random.default_rng(seed)
        old, new = (
            pd.DataFrame(
                {
                    "day": pd.date_range("2020-01-01", periods=120).strftime("%Y-%m-%d"),
                    "shop": rng.choice(list("abc"), 120),
                    "warm": rng.normal(15, 8, 120).round(0),
                    "kind": rng.poisson(30, 120),
                }
            )
            for _ in range(2)
        )
        test, rest = np.split(rng.permutation(120), [24])
        whole, marks = sketched(new), row_marks(new)
        rows = Rows(marks[test].T, marks[rest[:24]].T, Table(whole.take(test), whole.take(rest)))
        accused = max(
            accused, encounter(rows, row_marks(old[:24]).T, sketched(old).take(np.arange(24))).share
        )
    assert accused * 24 <= 3


def test_official_rows_may_have_columns_of_their_own() -> None:
    development = sketched(table(0).assign(always=1.0))
    test = sketched(table(1).assign(more=np.random.default_rng(2).normal(size=120), always=table(2)["a"]))
    found = met(test, development.take(np.arange(40)), Table(test, development))
    assert found.share == 0.0
    assert met(test, test.take(np.arange(30)), Table(test, development)).share == pytest.approx(0.25)


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000), rows=st.integers(60, 400))
def test_new_rows_are_not(seed: int, rows: int) -> None:
    earlier = sketched(table(seed, rows)).take(np.arange(rows // 5))
    n = rows // 5
    assert among(sketched(table(seed + 1, rows)), np.arange(n), earlier).share * n <= 1.01


@pytest.mark.parametrize("levels", [2, 3, 5])
def test_rows_of_few_columns_of_few_values_are_not_met_by_chance(levels: int) -> None:
    """Half of them equal an earlier row, as rows of such a table do."""
    rng = np.random.default_rng(0)
    frames = [
        pd.DataFrame(rng.integers(0, levels, (1000, 6)), columns=list("abcdef")).assign(
            kind=lambda d: d["a"] % 2
        )
        for _ in range(2)
    ]
    earlier, whole = (sketched(frame) for frame in frames)
    assert among(whole, np.arange(200), earlier.take(np.arange(200))).share <= 0.03


def test_copies_within_a_table_are_no_earlier_rows() -> None:
    """Every row stands in the table twice; of another split a share is counted, and not its copies."""
    whole = sketched(pd.concat([table(0, 1500)] * 2))
    order, other = (np.random.default_rng(seed).permutation(3000)[:600] for seed in (0, 1))
    found = among(whole, other, whole.take(order))
    assert found.share == pytest.approx(np.isin(other, order).mean(), abs=0.07)


@pytest.mark.parametrize(
    "changed",
    [
        lambda x: x,
        lambda x: x / 255.0 - 0.5,
        lambda x: (x + 2.55 * np.random.default_rng(3).normal(size=x.shape)).astype(np.float32),
    ],
)
def test_images_and_sequences(changed: Callable[[np.ndarray], np.ndarray]) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (200, 8, 8, 1)).astype(np.uint8), rng.integers(0, 3, 200)
    earlier = sketch(x, y, "y").take(np.arange(40))
    whole = sketch(changed(x), y, "y")
    assert among(whole, np.arange(20, 60), earlier).share == pytest.approx(0.5, abs=0.03)
    fresh = sketch(rng.integers(0, 256, (200, 8, 8, 1)).astype(np.uint8), y, "y")
    assert among(fresh, np.arange(40), earlier).share == 0.0
    steps = sketch(rng.normal(size=(60, 7, 2)), rng.normal(size=(60, 7, 2)), "y")
    assert among(steps, np.arange(20), steps.take(np.arange(10))).share == 0.5


def test_another_target_is_another_row() -> None:
    """Inputs on a grid come back with new outcomes."""
    frame = table(0, ROWS)
    again = frame.assign(kind=np.random.default_rng(1).permutation(frame["kind"]))
    agree = (frame["kind"] == again["kind"])[:40].mean()
    earlier = sketched(frame).take(np.arange(40))
    assert among(sketched(again), np.arange(40), earlier).share == pytest.approx(agree, abs=0.01)


def test_other_tables_are_not_compared() -> None:
    one, other = (
        sketched(table()),
        sketched(pd.DataFrame({"u": [1.5, 2.5, 9.0] * 9, "kind": ["p", "q", "r"] * 9})),
    )
    assert comparable(one.columns, one.columns)
    assert not comparable(one.columns, other.columns)


def test_a_sketch_is_kept_as_bytes() -> None:
    made = sketched(table()).take(np.arange(7))
    again = read(made.head(), made.codes.tobytes(), 7)
    assert again.columns == made.columns
    np.testing.assert_array_equal(again.codes, made.codes)
    assert made.codes.nbytes == 7 * 5 * 7


@pytest.mark.slow
def test_false_alarms_on_real_and_large_tables(data_folder: Path) -> None:
    """Of rows that were never opened, at most one in a thousand is called known, in tables of 100,000 too."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300_000, 8))
    large = pd.DataFrame(x, columns=list("abcdefgh")).assign(kind=x.sum(axis=1) + rng.normal(size=len(x)))
    adult = pd.read_csv(data_folder / "adult.csv", skipinitialspace=True).rename(
        columns={"classification": "kind"}
    )
    houses = pd.read_csv(data_folder / "california.csv")
    houses = houses.rename(columns={houses.columns[-1]: "kind"})
    for frame in (large, adult, houses):
        whole, n = sketched(frame), len(frame) // 3
        order = rng.permutation(len(frame))
        old, new, development = (whole.take(part) for part in np.split(order[: 3 * n], 3))
        assert met(new, old, Table(new, development)).share <= 0.001
