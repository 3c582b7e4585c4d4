"""Lanes between two launches, on disk: what a killed search would otherwise have to train again.

One file a trial, replaced at each rung, removed when the trial ends. A checkpoint is a convenience and not a
record: one that is missing, torn, altered, or of another study, trial or epoch is as good as none, and the
lane is trained again from its first epoch. So a file begins with a digest of whose it is and of all that
follows.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import jax
import numpy as np

from workbench.core.files import replaced

_DIGEST = hashlib.sha256


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
    """A folder of checkpoints.

    study  whose they are
    tell   hears of one that cannot be used, and once of a folder that cannot be written to
    """

    def __init__(self, folder: Path, study: str = "", tell: Callable[[str], None] | None = None) -> None:
        self._folder, self._study, self._tell = folder, study, tell or (lambda sentence: None)
        self._unwritable = False

    def put(self, lanes: Mapping[int, Any]) -> None:
        """Save the lanes of trials, tuples of pytrees of NumPy arrays, by number."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            for number, lane in lanes.items():
                arrays = io.BytesIO()
                np.savez(arrays, *flat(lane))
                content = arrays.getvalue()
                with replaced(self._path(number), durable=False, private=True) as file:
                    file.write(self._digest(number, _epochs(lane), content))
                    file.write(content)
        except OSError as error:
            if not self._unwritable:
                self._tell(
                    f"{self._folder}: cannot be written ({error.strerror}); the search goes on, and trains "
                    "again what it would have kept there if it is killed"
                )
            self._unwritable = True

    def get(self, number: int, like: tuple[Any, ...], epochs: int) -> tuple[Any, ...] | None:
        """The lanes of a trial after `epochs`, shaped like `like`; None if they are not there and whole."""
        path, size = self._path(number), _DIGEST().digest_size
        try:
            stored = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            self._bad(path, f"cannot be read ({error.strerror})", number)
            return None
        if stored[:size] != self._digest(number, epochs, stored[size:]):
            self._bad(path, f"is not what was kept of it after {epochs} epochs", number)
            return None
        with np.load(io.BytesIO(stored[size:]), allow_pickle=False) as archive:
            lanes: tuple[Any, ...] | None = shaped(like, [archive[name] for name in archive.files])
        if lanes is None:
            self._bad(path, "holds lanes of other shapes", number)
        return lanes

    def drop(self, numbers: Iterable[int]) -> None:
        """Forget trials that have ended."""
        for number in numbers:
            try:
                self._path(number).unlink(missing_ok=True)
            except OSError as error:
                self._tell(
                    f"{self._path(number)}: cannot be removed ({error.strerror}); nothing needs it now"
                )

    def _path(self, number: int) -> Path:
        return self._folder / f"trial-{number:06d}.npz"

    def _digest(self, number: int, epochs: int, content: bytes) -> bytes:
        return _DIGEST(f"{self._study}\n{number}\n{epochs}\n".encode() + content).digest()

    def _bad(self, path: Path, why: str, number: int) -> None:
        self._tell(f"{path}: {why}; trial {number} is trained again from its start")


def _epochs(lanes: tuple[Any, ...]) -> int:
    """How many epochs the longest of a trial's lanes has behind it."""
    return max(int(lane.epochs) for lane in lanes)
