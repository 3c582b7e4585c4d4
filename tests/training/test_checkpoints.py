"""Checkpoints: one that is not exactly what was kept is as good as none, and that is said."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from workbench.training.checkpoints import Store


class Lane(NamedTuple):
    epochs: np.ndarray
    weight: np.ndarray


def lanes(epochs: int, seed: int = 0) -> tuple[Lane, ...]:
    draw = np.random.default_rng(seed)
    return (Lane(np.int32(epochs), draw.normal(size=(3, 2)).astype(np.float32)),)


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def store(tmp_path: Path, said: list[str]) -> Store:
    return Store(tmp_path / "checkpoints", "study-1", said.append)


def test_what_was_kept_comes_back(store: Store, said: list[str], tmp_path: Path) -> None:
    store.put({3: lanes(4), 5: lanes(4, seed=1)})
    found = store.get(3, lanes(0), 4)
    assert found is not None
    np.testing.assert_array_equal(found[0].weight, lanes(4)[0].weight)
    store.drop([3, 4])
    assert store.get(3, lanes(0), 4) is None
    assert said == []
    (file,) = (tmp_path / "checkpoints").iterdir()
    assert file.stat().st_mode & 0o077 == 0


def test_every_byte_counts(store: Store, said: list[str], tmp_path: Path) -> None:
    store.put({3: lanes(4)})
    (file,) = (tmp_path / "checkpoints").iterdir()
    whole = file.read_bytes()
    for position in range(len(whole)):
        flipped = bytearray(whole)
        flipped[position] ^= 1 << position % 8
        file.write_bytes(flipped)
        assert store.get(3, lanes(0), 4) is None
    assert len(said) == len(whole)
    for end in range(0, len(whole), 7):
        file.write_bytes(whole[:end])
        assert store.get(3, lanes(0), 4) is None
    assert "trial-000003.npz" in said[-1]
    assert "trial 3 is trained again from its start" in said[-1]
    file.write_bytes(whole)
    assert store.get(3, lanes(0), 4) is not None


def test_those_of_others_are_not_believed(store: Store, said: list[str], tmp_path: Path) -> None:
    store.put({3: lanes(4), 5: lanes(4, seed=1)})
    three, five = sorted((tmp_path / "checkpoints").iterdir())
    kept = three.read_bytes()
    three.write_bytes(five.read_bytes())  # another trial's
    assert store.get(3, lanes(0), 4) is None
    three.write_bytes(kept)
    assert store.get(3, lanes(0), 13) is None  # of another epoch
    assert Store(tmp_path / "checkpoints", "study-2", said.append).get(3, lanes(0), 4) is None
    other = (lanes(0)[0]._replace(weight=np.zeros((2, 2), np.float32)),)
    assert store.get(3, other, 4) is None  # a model of another shape
    with three.open("wb") as file:  # what NumPy alone would believe
        np.savez(file, *lanes(4)[0])
    assert store.get(3, lanes(0), 4) is None
    three.unlink()
    three.mkdir()
    assert store.get(3, lanes(0), 4) is None
    assert len(said) == 6


def test_a_folder_that_cannot_be_written_to_stops_nothing(tmp_path: Path, said: list[str]) -> None:
    (tmp_path / "checkpoints").write_text("in the way")
    store = Store(tmp_path / "checkpoints", "study-1", said.append)
    store.put({3: lanes(4)})
    store.put({4: lanes(4)})
    assert len(said) == 1
    assert "the search goes on" in said[0]
    assert store.get(3, lanes(0), 4) is None
