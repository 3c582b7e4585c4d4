"""What rows hold that training rows did not, against pandas' own sets and comparisons."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.data.preprocessing import Preprocessor, fit, novelty
from workbench.data.preprocessing.tables import Column

COLUMNS = (Column("n", "numeric", "plain"), Column("c", "category"), Column("d", "date", "ISO8601"))
WORDS = st.sampled_from(["u", "v", "ü", "w x", "=1", "7"])
ROWS = st.lists(
    st.tuples(
        st.one_of(st.none(), st.floats(-1e6, 1e6)),
        st.one_of(st.none(), WORDS),
        st.one_of(st.none(), st.dates(pd.Timestamp("1990-01-01").date(), pd.Timestamp("2030-01-01").date())),
    ),
    min_size=3,
    max_size=30,
)


def frame(rows: list[tuple[object, ...]]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["n", "c", "d"], dtype=object)
    return table.assign(
        n=table["n"].astype("float64"), d=table["d"].map(lambda x: None if x is None else str(x))
    )


@given(ROWS, ROWS)
def test_counts_are_those_of_pandas(
    before: list[tuple[object, ...]], after: list[tuple[object, ...]]
) -> None:
    known, rows = frame(before), frame(after)
    found = fit(known, COLUMNS).novelties(rows)

    unseen = rows["c"][rows["c"].notna() & ~rows["c"].isin(known["c"].dropna())]
    expected = {} if unseen.empty else {"c": (len(unseen), unseen.nunique())}
    assert {name: (one["cells"], one["labels"]) for name, one in found["unseen"].items()} == expected
    if not unseen.empty:
        assert set(found["unseen"]["c"]["values"]) <= set(unseen)

    blank = {name: int(rows[name].isna().sum()) for name in rows if known[name].notna().all()}
    assert found["blank"] == {name: count for name, count in blank.items() if count}

    days = {
        "n": (known["n"], rows["n"]),
        "d": tuple(
            (pd.to_datetime(each["d"]) - pd.Timestamp(0)) / pd.Timedelta(days=1) for each in (known, rows)
        ),
    }
    far = {}
    for name, (one, other) in days.items():
        low, high = one.min(), one.max()
        count = int(((other < low - (high - low)) | (other > high + (high - low))).sum())
        far |= {name: count} if count else {}
    assert {name: one["cells"] for name, one in found["outside"].items()} == far


def test_rare_labels_are_not_new(tmp_path: object) -> None:
    known = pd.DataFrame({"c": ["a"] * 600 + ["b"] * 600 + ["rare"]})
    fitted = fit(known, (Column("c", "category"),))
    assert fitted.levels[0].other  # where unseen labels go as well
    found = fitted.novelties(pd.DataFrame({"c": ["rare", "new", "new", "a"]}))
    assert found["unseen"] == {"c": {"cells": 2, "labels": 1, "values": ["new"]}}


def test_what_training_rows_held_survives_an_archive_and_names_no_label() -> None:
    fitted = fit(frame([(1.0, "someone", "2020-01-01"), (2.0, None, "2020-03-01")]), COLUMNS)
    assert fitted.training is not None
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **fitted.training.arrays())
    assert b"someone" not in file.getvalue()
    again = Preprocessor.from_json(fitted.to_json())
    assert again.training is None
    with np.load(io.BytesIO(file.getvalue())) as arrays:
        again = again.knowing(dict(arrays))
    rows = frame([(9.0, "other", "2031-01-01"), (None, "someone", None)])
    assert again.novelties(rows) == fitted.novelties(rows)
    assert fitted.novelties(rows)["outside"]["d"]["furthest"] == "2031-01-01"


def test_a_model_of_an_earlier_version_tells_what_its_features_tell() -> None:
    fitted = fit(
        frame([(1.0, "u", "2020-01-01"), (2.0, "v", "2020-03-01"), (3.0, "u", None)]), COLUMNS, rare=1
    )
    rows = frame([(9e9, "new", None), (None, "u", None)])
    told = replace(fitted, training=None).novelties(rows)
    assert told == {
        "unseen": {"c": {"cells": 1, "labels": 1, "values": ["new"]}},
        "blank": {"n": 1},
        "outside": {},  # nobody knows the range
    }


@pytest.mark.parametrize(
    ("found", "line"),
    [
        ({"unseen": {}, "blank": {}, "outside": {}}, ""),
        (
            {
                "unseen": {"c": {"cells": 1200, "labels": 5, "values": ["a", "b", "x" * 90]}},
                "blank": {"n": 2, "m": 1},
                "outside": {"n": {"cells": 1, "furthest": 1e9, "low": -2.5, "high": 3.0}},
            },
            f'cells with a label that no training row had: 1,200 of "c" ("a", "b", "{"x" * 39}…", …); blank '
            'cells where no training row had one: 2 of "n", 1 of "m"; values far outside the training range: '
            '1 of "n" (such as 1e+09; training rows have -2.5 to 3)',
        ),
        (
            {"unseen": {}, "blank": {f"c{k}": 1 for k in range(40)}, "outside": {}},
            'blank cells where no training row had one: 1 of "c0", 1 of "c1", 1 of "c2", 1 of "c3" and in 36 '
            "more columns",
        ),
    ],
)
def test_one_line_says_it(found: dict[str, dict[str, object]], line: str) -> None:
    assert novelty.told(found) == line
