"""Lanes between two launches, on disk: what a killed search would otherwise have to train again.

One file a trial, replaced at each rung, removed when the trial ends. A checkpoint is a convenience and not a
record: one that is missing, torn, or of another epoch is ignored, and the lane is trained again from its
first epoch.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import jax
import numpy as np

from workbench.files import replaced

__all__ = ["Store", "flat", "shaped"]


def flat(lane: Any) -> list[np.ndarray]:
    """The arrays of a lane; none of None."""
    return [np.asarray(leaf) for leaf in jax.tree.leaves(lane)]


def shaped(like: Any, arrays: Iterable[np.ndarray]) -> Any | None:
    """A lane like `like` from as many arrays; None if they are of other shapes or types."""
    shapes, structure = jax.tree.flatten(like)
    leaves = list(islice(arrays, len(shapes)))
    if [(leaf.shape, leaf.dtype) for leaf in leaves] != [(leaf.shape, leaf.dtype) for leaf in shapes]:
        return None
    return jax.tree.unflatten(structure, leaves)


class Store:
    """A folder of checkpoints."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def put(self, lanes: Mapping[int, Any]) -> None:
        """Save the lanes of trials, tuples of pytrees of NumPy arrays, by number."""
        for number, lane in lanes.items():
            with replaced(self._path(number), durable=False) as file:
                np.savez(file, *flat(lane))

    def get(self, number: int, like: tuple[Any, ...], epochs: int) -> tuple[Any, ...] | None:
        """The lanes of a trial after `epochs`, shaped like `like`; None if they are not there and whole."""
        try:
            with self._path(number).open("rb") as file, np.load(file, allow_pickle=False) as archive:
                leaves = [archive[name] for name in archive.files]
        except (FileNotFoundError, zipfile.BadZipFile, ValueError, EOFError):
            return None
        lanes = shaped(like, leaves)
        found = lanes is not None and max(int(lane.epochs) for lane in lanes) == epochs
        return lanes if found else None

    def drop(self, numbers: Iterable[int]) -> None:
        """Forget trials that have ended."""
        for number in numbers:
            self._path(number).unlink(missing_ok=True)

    def _path(self, number: int) -> Path:
        return self._folder / f"trial-{number:06d}.npz"
