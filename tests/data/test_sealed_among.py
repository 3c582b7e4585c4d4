"""Which rows of a labelled file are sealed test rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.study.test_further_looks import noisy, table
from workbench.core.types import DataSpec
from workbench.data.seal import sealed_among
from workbench.data.sources import read_file


def count(folder: Path, rows: pd.DataFrame) -> int:
    table().to_csv(folder / "table.csv", index=False)
    rows.to_csv(folder / "given.csv", index=False)
    spec = DataSpec(source="table.csv", folder=folder, target="kind")
    known = sealed_among(read_file(folder / "given.csv"), spec)
    return 0 if known is None else len(known.marks)


def test_of_a_table_its_test_rows_and_of_a_file_without_target_none(tmp_path: Path) -> None:
    assert count(tmp_path, table()) == 24
    assert count(tmp_path, noisy(table()).sample(frac=1.0, random_state=0)) == 24
    assert count(tmp_path, table().drop(columns="kind")) == 0
    assert count(tmp_path, table(5)) == 0
    renamed = table().rename(columns={"kind": "answer"}).assign(note="none", score=range(120))
    assert count(tmp_path, renamed) == 24
    assert count(tmp_path, renamed.drop(columns="answer")) == 0
    singly = [count(tmp_path, table().iloc[[row]]) for row in range(30)]
    assert set(singly) == {0, 1}
    assert sum(singly) == pytest.approx(6, abs=5)


def test_archives(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(100, 6)), rng.integers(0, 2, 100)
    np.savez(tmp_path / "rows.npz", x=x, y=y)
    spec = DataSpec(source="rows.npz", folder=tmp_path)
    known = sealed_among(read_file(tmp_path / "rows.npz"), spec)
    assert known is not None
    assert len(known.marks) == 20
    np.savez(tmp_path / "x.npz", x=x)
    assert sealed_among(read_file(tmp_path / "x.npz"), spec) is None
