"""One sentence for each fault of a source: the file, the value, what was expected, what to do."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from workbench.core.errors import DataError
from workbench.core.types import DataSpec
from workbench.data import load

HEAD, NUMBERS = "a,b,y\n", "".join(f"{i},{i * 2},{i * 0.5}\n" for i in range(30))
BAD: list[tuple[str, Mapping[str, str | bytes], dict[str, Any], str]] = [
    (
        "missing file",
        {"house.csv": "x"},
        {"source": "hose.csv"},
        r"hose\.csv: no such file .* did you mean house\.csv\?",
    ),
    ("misspelled set", {}, {"source": "digit"}, 'source = "digit" is neither .* did you mean digits'),
    ("no number", {}, {"source": "adding"}, 'source = "adding" is neither .* did you mean adding-100'),
    ("too long", {}, {"source": "copy-5000"}, 'source = "copy-5000" .* from 0 to 1000, such as "copy-20"'),
    ("too small", {}, {"source": "tickets"}, 'source = "tickets" has 2 rows, .* for experiments'),
    ("suffix", {"a.xlsx": "x"}, {"source": "a.xlsx"}, r"a\.xlsx: \.xlsx is not a kind .* use \.csv"),
    ("empty", {"a.csv": ""}, {"source": "a.csv"}, r"a\.csv: is empty"),
    ("header only", {"a.csv": HEAD}, {"source": "a.csv", "target": "y"}, r"a\.csv: holds no rows"),
    (
        "ragged",
        {"a.csv": HEAD + "1,2,3\n4,5\n"},
        {"source": "a.csv"},
        'row 2 .* 2 cells, but there are 3 .*"4,5"',
    ),
    (
        "latin-1",
        {"a.csv": HEAD.encode() + b"1,\xe9,2\n" + "3,é,4\n".encode()},  # mostly UTF-8
        {"source": "a.csv"},
        r"not UTF-8 text \(byte 0xe9 in line 2\)",
    ),
    (
        "ragged latin-1",  # the row that is at fault is no text either
        {"a.csv": HEAD.encode() + "1,é,3\n".encode() * 9_000 + b"4,\xe1\n"},
        {"source": "a.csv"},
        r"not UTF-8 text \(byte 0xe1 in line 9002\)",
    ),
    (
        "late latin-1",
        {"a.csv": HEAD.encode() + "1,é,2\n".encode() * 9 + b"\xff,2,2\n"},
        {"source": "a.csv"},
        "in line 11",
    ),
    (
        "twice",
        {"a.csv": "a,b, a\n1,2,3\n"},
        {"source": "a.csv"},
        'the column "a" stands in the first line twice',
    ),
    ("no target", {"a.csv": HEAD + NUMBERS}, {"source": "a.csv"}, r'target is missing; .* such as "y"'),
    (
        "target",
        {"a.csv": "price,b\n1,2\n"},
        {"source": "a.csv", "target": "prize"},
        'is not a column; did you mean "price"',
    ),
    (
        "constant",
        {"a.csv": HEAD + "1,2,5\n2,3,5\n" * 9},
        {"source": "a.csv", "target": "y"},
        'is constant: "5"|one class',
    ),
    (
        "one class",
        {"a.csv": HEAD + "1,2,u\n2,3,u\n" * 9},
        {"source": "a.csv", "target": "y"},
        'of one class, "u"',
    ),
    (
        "rare",
        {"a.csv": HEAD + "1,2,u\n2,3,v\n" * 9 + "1,1,w\n"},
        {"source": "a.csv", "target": "y"},
        'class "w" has 1 row',
    ),
    (
        "blank",
        {"a.csv": HEAD + "1,2,u\n2,3,v\n4,4,\n5,5,?\n" * 9},
        {"source": "a.csv", "target": "y"},
        "blank in 18 rows of 36",
    ),
    (
        "text",
        {"a.csv": HEAD + NUMBERS + "1,1,lots\n"},
        {"source": "a.csv", "target": "y", "task": "regression"},
        'holds text such as "lots" in 1 row,',
    ),
    (
        "few",
        {"a.csv": HEAD + "1,2,0.5\n3,4,1.5\n"},
        {"source": "a.csv", "target": "y"},
        "has 2 rows, too few",
    ),
    *(
        (
            key,
            {"a.csv": HEAD + NUMBERS},
            {"source": "a.csv", "target": "y", key: value},
            rf"\[data\] {key} names \"bb\"",
        )
        for key, value in (
            ("features", ("bb",)),
            ("drop", ("bb",)),
            ("categorical", ("bb",)),
            ("group", "bb"),
            ("time", "bb"),
        )
    ),
    (
        "drop all",
        {"a.csv": HEAD + NUMBERS},
        {"source": "a.csv", "target": "y", "drop": ("a", "b")},
        "leaves no column",
    ),
    (
        "own test",
        {"a.csv": HEAD + NUMBERS},
        {"source": "a.csv", "target": "y", "test": "a.csv"},
        "names the source itself",
    ),
    (
        "no test",
        {"a.csv": HEAD + NUMBERS},
        {"source": "a.csv", "target": "y", "test": "b.csv"},
        r"b\.csv: no such file",
    ),
    ("not npz", {"a.npz": b"nonsense"}, {"source": "a.npz"}, r"a\.npz: .*numpy\.savez"),
    ("not parquet", {"a.parquet": b"nonsense"}, {"source": "a.parquet"}, "is not a readable Parquet file"),
    ("folder", {}, {"source": "."}, "is a folder"),
    ("openml", {}, {"source": "openml:"}, "write openml:NAME"),
]


@pytest.mark.parametrize(("files", "keys", "sentence"), [bad[1:] for bad in BAD], ids=[bad[0] for bad in BAD])
def test_sentences(
    tmp_path: Path, files: Mapping[str, str | bytes], keys: dict[str, Any], sentence: str
) -> None:
    for name, content in files.items():
        (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(DataError) as caught:
        load(DataSpec(folder=tmp_path, **keys))
    text = str(caught.value)
    assert re.search(sentence, text), text
    assert "\n" not in text
    assert len(text) < 400


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"z": np.zeros(3)}, "holds z; it needs the arrays x and y"),
        ({"x": np.zeros((9, 2))}, "holds no targets"),
        ({"x": np.zeros((9, 2)), "y": np.zeros(8)}, r"y has the shape \(8,\), but x has 9 rows"),
        ({"x": np.zeros(9), "y": np.zeros(9)}, r"x has the shape \(9,\)"),
        ({"x": np.array([["a"]] * 9), "y": np.zeros(9)}, "must hold numbers"),
        ({"x": np.array([[None]] * 9), "y": np.zeros(9)}, "pickled objects"),
        ({"x": np.zeros((9, 4, 2)), "y": np.arange(9), "lengths": np.full(9, 5)}, "must lie in 1 to 4"),
        (
            {"x": np.zeros((9, 4, 2)), "y": np.arange(9), "lengths": np.ones(8, int)},
            "must be 9 whole numbers",
        ),
        ({"x": np.zeros((9, 4)), "y": np.array([0.5, np.nan] * 4 + [1])}, "blank in 4 rows of 9"),
        (
            {"x_train": np.zeros((9, 2)), "y_train": np.arange(9), "x_test": np.zeros((3, 2))},
            "holds no targets",
        ),
        (
            {
                "x_train": np.zeros((9, 2)),
                "y_train": np.arange(9.0),
                "x_test": np.zeros((3, 3)),
                "y_test": np.arange(3.0),
            },
            r"test rows have the shape \(3,\)",
        ),
    ],
)
def test_archive_sentences(tmp_path: Path, arrays: dict[str, np.ndarray], sentence: str) -> None:
    np.savez(tmp_path / "a.npz", **arrays)  # type: ignore[arg-type]
    with pytest.raises(DataError, match=sentence):
        load(DataSpec(source="a.npz", folder=tmp_path))
