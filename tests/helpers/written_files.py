"""Whether files whose values are known are read as they were written.

`python -m tests.helpers.written_files --seeds 0:13334` tries 20,000 of them: seeds 4 n and 4 n + 1 are two
files of text, one table in two locales, 4 n + 2 Parquet, 4 n + 3 archives of arrays; see `written_tables`.
What fails is printed with its seed, and the exit status is 1.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

from tests.helpers.written_tables import Table, arrays, frame, table
from workbench import data
from workbench.core.errors import DataError
from workbench.core.types import DataSpec
from workbench.data.dataset import Dataset
from workbench.data.preprocessing.tables import conform
from workbench.data.sources import read, read_rows


def check(seed: int, folder: Path) -> str:
    """What kind of file a seed is. Raises AssertionError if it is not read as it was written."""
    if seed % 4 == 3:
        _check_arrays(seed, folder)
        return "arrays"
    made = frame(seed) if seed % 4 == 2 else table(seed)
    dataset = _loaded(made, folder)
    if seed % 4 == 2:
        assert any('"nested"' in note for note in dataset.notes), seed
        return "Parquet"
    _check_another(dataset, made, table(seed, 1), folder)
    return "text"


def _loaded(made: Table, folder: Path) -> Dataset:
    (folder / made.name).write_bytes(made.content)
    dataset, _ = data.load(DataSpec(source=made.name, folder=folder, target="y"))
    assert isinstance(dataset.rows, pd.DataFrame)
    place = dataset.rows["k"].to_numpy().astype(int)
    for name, values in made.values.items():
        found = dataset.target[:, 0] if name == "y" else dataset.rows.get(name)
        told = [note for note in dataset.notes if "two readings" in note and f'"{name}"' in note]
        if found is None:  # constant in these rows
            assert len({*values[place]}) == 1, (name, values, dataset.notes, made.text)
        elif not told or made.sure:
            assert _same(np.asarray(found), values[place]), (
                name,
                found,
                values[place],
                dataset.notes,
                made.text,
            )
    return dataset


def _same(found: np.ndarray, wanted: np.ndarray) -> bool:
    if wanted.dtype.kind == "M":
        return np.array_equal(found, wanted.astype(found.dtype))
    if wanted.dtype.kind == "O":
        return list(map(str, found)) == list(map(str, wanted))
    return np.allclose(found.astype(float), wanted, rtol=1e-6, atol=0, equal_nan=True)


def _check_another(dataset: Dataset, made: Table, other: Table, folder: Path) -> None:
    """The same rows in a file that is written otherwise: the same values, or a sentence."""
    (folder / other.name).write_bytes(other.content)
    rows = read_rows(folder / other.name)
    try:
        found, _ = conform(rows, dataset.columns, other.name)
    except DataError:
        return
    place = np.asarray(found["k"]).astype(int)
    for column in dataset.columns:
        if made.sure and column.name in other.values:
            values = np.asarray(found[column.name])
            wanted = other.values[column.name][place]
            assert _same(values, wanted), (column, values, wanted, made.text, other.text)


def _check_arrays(seed: int, folder: Path) -> None:
    made = arrays(seed)
    (folder / made.name).write_bytes(made.content)
    found = read(DataSpec(source=made.name, folder=folder))
    np.testing.assert_array_equal(np.asarray(found.rows, np.float64), made.x, str(seed))
    np.testing.assert_array_equal(found.y, made.y, str(seed))
    assert len(found.notes) == len(made.said), (seed, found.notes)
    for said in made.said:
        assert any(said in note for note in found.notes), (seed, said)


def main() -> int:
    """Try the seeds of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", default="0:13334", metavar="FIRST:END")
    first, end = map(int, parser.parse_args().seeds.split(":"))
    warnings.simplefilter("error")
    kinds, failed, begun = Counter[str](), 0, time.monotonic()
    with TemporaryDirectory() as folder:
        for seed in range(first, end):
            try:
                kinds[check(seed, Path(folder))] += 1
            except Exception:
                failed += 1
                print(f"seed {seed}:\n{traceback.format_exc()[-3000:]}", flush=True)
            if (seed + 1 - first) % 1000 == 0:
                print(
                    f"{seed + 1 - first} files, {failed} failed, {time.monotonic() - begun:.0f} s", flush=True
                )
    files = sum(kinds.values()) + kinds["text"]
    print(f"seeds {first} to {end - 1}: {files} files of {dict(kinds)}, {failed} seeds failed")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
