"""Columns: what is inferred from cells, how blanks are read, and what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.core.errors import DataError
from workbench.data.preprocessing import cells
from workbench.data.preprocessing.kinds import infer
from workbench.data.preprocessing.tables import Column, conform


def kind_of(values: list[object], **keys: bool) -> Column:
    table = pa.table({"c": pa.array(values)})
    columns, _ = infer(table, "t", categorical=("c",) if keys.get("categorical") else ())
    return columns[0]


def read(values: list[object], column: Column) -> np.ndarray:
    return conform(pa.table({column.name: pa.array(values)}), [column], "t")[0][column.name].to_numpy()


@pytest.mark.parametrize(
    ("values", "kind", "form"),
    [
        (["1", " 2.5", "-3e2", "+4", ""], "numeric", "plain"),
        (["1", "?", "NA", "nan", "None", "2"], "numeric", "plain"),
        (["1,234", "12", "5,678,901.5"], "numeric", "thousands"),
        (["0,5", "12", "1.234,75"], "numeric", "decimal comma, thousands point"),
        (["0,5", "12", "-3,25"], "numeric", "decimal comma"),
        (["yes", "No", "?"], "boolean", ""),
        ([True, False, None], "boolean", ""),
        (["0", "1", "1"], "numeric", "plain"),
        (["red", "blue", "red"], "category", ""),
        (["1", "two", "3"], "category", ""),
        (["2024-01-31", "2024-02-01", ""], "date", "ISO8601"),
        (["2024-01-31 10:00", "2024-02-01 11:30:05"], "date", "ISO8601"),
        (["31.01.2024", "01.02.2024"], "date", "%d.%m.%Y"),
        (["01/31/2024", "02/01/2024"], "date", "%m/%d/%Y"),
        (["31/01/2024", "02/01/2024"], "date", "%d/%m/%Y"),
        ([1, 2, None], "numeric", "plain"),
        (["1.2.3.4", "5.6.7.8"], "category", ""),
    ],
)
def test_kinds(values: list[object], kind: str, form: str) -> None:
    column = kind_of(values)
    assert (column.kind, column.form) == (kind, form)


def test_numbers_written_in_other_ways() -> None:
    assert read(["1,234", "12", "?", "5,678.5"], Column("c", "numeric", "thousands")).tolist()[:2] == [
        1234,
        12,
    ]
    values = read(["0,5", "1.234,75", "-7", ""], Column("c", "numeric", "decimal comma"))
    np.testing.assert_array_equal(values, [0.5, 1234.75, -7, np.nan])
    np.testing.assert_array_equal(
        read(["inf", "-Infinity", "1e400", "2"], Column("c", "numeric")), [np.nan] * 3 + [2]
    )
    _, values, unread = cells.numbers(pa.array(["1,5", "x", "2", None]), "decimal comma")
    np.testing.assert_array_equal(values, [1.5, np.nan, 2, np.nan])
    assert unread.tolist() == [False, True, False, False]


@given(st.lists(st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False)), min_size=2))
@settings(max_examples=100, deadline=None)
def test_text_and_numbers_are_read_alike(values: list[float | None]) -> None:
    """What Python writes of a float comes back exactly, be it text or a number."""
    expected = np.array([np.nan if v is None else v for v in values])
    column = Column("c", "numeric", "plain")
    np.testing.assert_array_equal(read(["" if v is None else repr(v) for v in values], column), expected)
    np.testing.assert_array_equal(read(list(pa.array(values, pa.float64()).to_pylist()), column), expected)


def test_labels_of_numbers() -> None:
    text, typed = ["10", "9", "9.0", "?"], [10.0, 9.0, 9.0, None]
    for values in (text, typed):
        codes, levels = cells.labels(pa.array(values))
        assert levels == ("9", "10")
        assert codes.tolist() == [1, 0, 0, -1]
    assert kind_of([1, 2, 3], categorical=True).kind == "category"


def test_constant_columns() -> None:
    table = pa.table({"a": ["1", "1"], "b": ["", ""], "c": ["x", "x"], "d": ["1", ""], "e": ["1", "2"]})
    columns, remarks = infer(table, "t")
    assert [column.name for column in columns] == ["d", "e"]
    assert "a, b, c" in remarks[0]
    assert len(infer(table, "t", keep_constant=True)[0]) == 5
    with pytest.raises(DataError, match="no column is left"):
        infer(table.select(["a"]), "t")


def test_free_text_is_refused() -> None:
    table = pa.table({"note": [f"sentence {i}" for i in range(50)], "n": list(range(50))})
    with pytest.raises(DataError, match=r'the column "note" holds free text.*drop = \["note"\]'):
        infer(table, "t")
    assert infer(table, "t", categorical=("note",))[0][0].kind == "category"


COLUMNS = (
    Column("n", "numeric", "plain"),
    Column("b", "boolean"),
    Column("d", "date", "ISO8601"),
    Column("c", "category"),
)
RAW = {
    "c": [" red", "blue", "?", "red"],
    "d": ["2024-01-01", "", "2024-05-06", "2024-01-01"],
    "n": ["1", "2.5", "NA", "7"],
    "b": ["yes", "no", "", "yes"],
    "extra": ["what", "ever", "it", "is"],
}


def test_conform_is_idempotent_and_takes_what_pandas_reads() -> None:
    once, _ = conform(pa.table(RAW), COLUMNS, "t")
    twice, _ = conform(once, COLUMNS, "t")
    pd.testing.assert_frame_equal(once, twice)
    assert list(once.columns) == ["n", "b", "d", "c"]
    typed = pd.DataFrame(
        {
            "n": [1.0, 2.5, None, 7.0],
            "b": pd.array([True, False, None, True], dtype=object),
            "d": pd.to_datetime(["2024-01-01", None, "2024-05-06", "2024-01-01"]),
            "c": pd.Categorical(["red", "blue", None, "red"], categories=["red", "green", "blue"]),
        }
    )
    again, _ = conform(typed, COLUMNS, "t")
    for name in ("n", "b", "d"):
        pd.testing.assert_series_equal(again[name], once[name])
    assert again["c"].astype(object).equals(once["c"].astype(object))
    objects, _ = conform(pd.DataFrame(RAW, dtype=object), COLUMNS, "t")
    pd.testing.assert_frame_equal(objects, once)
    mixed = pd.DataFrame({**RAW, "n": [1, "2.5", None, 7.0]})
    pd.testing.assert_frame_equal(conform(mixed, COLUMNS, "t")[0], once)


def test_zones_become_utc() -> None:
    values = read(["2024-01-01T10:00:00+02:00", "2024-01-01T10:00:00Z"], Column("c", "date", "ISO8601"))
    assert values[0] == np.datetime64("2024-01-01T08:00:00")
    assert values[1] == np.datetime64("2024-01-01T10:00:00")


def test_sentences() -> None:
    with pytest.raises(DataError, match='lacks the column "n"; did you mean "nn" by "n"'):
        conform(pd.DataFrame({"nn": [1.0]}), COLUMNS[:1], "rows")
    for column, cell, noun in zip(
        COLUMNS, ("lots", "maybe", "tomorrow"), ("a number", "yes or no", "a date"), strict=False
    ):
        frame = pd.DataFrame({column.name: [None, cell]})
        with pytest.raises(DataError, match=f'"{column.name}" holds "{cell}" in row 2, not {noun}'):
            conform(frame, [column], "rows")
        lenient, remarks = conform(frame, [column], "rows", strict=False)
        assert lenient[column.name].isna().all()
        assert "it counts as blank" in remarks[0]
    with pytest.raises(DataError, match="stands there twice"):
        conform(pd.DataFrame([[1, 2]], columns=["n", " n"]), COLUMNS[:1], "rows")
    with pytest.raises(DataError, match=r"has the shape \(2, 3\), but 4 columns are needed"):
        conform(np.zeros((2, 3)), COLUMNS, "rows")
