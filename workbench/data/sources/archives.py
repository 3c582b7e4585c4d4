"""NumPy archives: `x` and `y`, or `x_train`, `y_train`, `x_test`, `y_test`, and perhaps `weight` beside each.

Inputs are rows of numbers [N, F], sequences [N, T, F] or images [N, H, W, C]. Three axes mean a sequence
where the archive says how long each is (`lengths`, or `lengths_train` and `lengths_test`), and gray images
[N, H, W] otherwise, which get an axis for their one channel. Steps behind the end of a sequence become NaN,
which is how padding is told from data from here on. Sequences have one target each, or, where y is [N, T] or
[N, T, K], one for every step (see `targets`). An array `targets` may hold the names of the K columns of y;
with them zeros and ones are no one-hot classes, but K targets. Nothing is rescaled: bytes stay 0 to 255 until
a preprocessor scales them (`minmax` gives [0, 1]).
"""

from __future__ import annotations

import io
import zipfile
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from workbench.core.errors import DataError
from workbench.core.types import Array
from workbench.data.targets import of_steps

#: The array that names the columns of y.
TARGETS = "targets"
#: Channels that images have: gray, gray and alpha, colors, colors and alpha.
_CHANNELS = (1, 2, 3, 4)


class Read(NamedTuple):
    """x [N, *F]; y [N], [N, K], [N, T, K] or None; whether test arrays are there; remarks; weights; names."""

    x: Array
    y: Array | None
    official: bool
    notes: tuple[str, ...] = ()
    weight: Array | None = None  # [N]
    targets: tuple[str, ...] = ()  # of the columns of y


def read_archive(path: Path | bytes, name: str, *, test: bool = False) -> Read:
    """The arrays of an archive, or of its content.

    Test arrays are loaded if `test` and left alone otherwise. Pickled objects are never loaded. Raises
    DataError.
    """

    def opened() -> Path | io.BytesIO:
        return io.BytesIO(path) if isinstance(path, bytes) else path

    if not zipfile.is_zipfile(opened()):
        raise DataError(f"{name}: is not an archive of arrays such as x and y; write it with numpy.savez")
    try:
        with np.load(opened(), allow_pickle=False) as archive:
            return _read(archive, name, test)
    except (
        zipfile.BadZipFile,
        EOFError,
        zlib.error,
        RuntimeError,
    ) as error:  # a password, or a method unknown
        raise DataError(
            f"{name}: is not a readable .npz archive ({error}); write it with numpy.savez"
        ) from error
    except ValueError as error:
        if "pickle" not in str(error):
            raise DataError(f"{name}: cannot be read ({error}); write it with numpy.savez") from error
        raise DataError(
            f"{name}: holds pickled objects, which are never loaded; write plain arrays with numpy.savez"
        ) from error


def _read(archive: Any, name: str, test: bool) -> Read:
    names = archive.files
    official = "x_test" in names and "x_train" in names
    if not official and (test or "x" not in names):
        needed = "x_test and y_test" if test else "x and y, or x_train, y_train, x_test and y_test"
        found = ", ".join(names) if names else "nothing"
        raise DataError(f"{name}: holds {found}; it needs the arrays {needed}")
    part = ("_test" if test else "_train") if official else ""
    lengths_name = f"lengths{part}"
    lengths = archive[lengths_name] if lengths_name in names else None
    x = _inputs(_native(archive[f"x{part}"]), lengths, f"{name}: x{part}", f"{name}: {lengths_name}")
    notes: tuple[str, ...] = ()
    if channels_first(x.shape):
        x = np.ascontiguousarray(np.moveaxis(x, 1, -1))
        notes = (f"{name}: x{part} has its channels first and was read as [N, H, W, C], {x.shape[1:]}.",)
    if f"y{part}" not in names:
        return Read(x, None, official, notes)
    y = _native(archive[f"y{part}"])
    if y.ndim == 0 or y.ndim > 3 or (y.ndim == 3 and not of_steps(x, y)) or len(y) != len(x):
        raise DataError(
            f"{name}: y{part} has the shape {y.shape}, but x{part} has {len(x)} rows; give one target per row"
            + (f", or per step [N, {x.shape[1]}] or [N, {x.shape[1]}, K]" if x.ndim == 3 else "")
        )
    if y.dtype.kind not in "biufUS":
        raise DataError(f"{name}: y{part} holds {y.dtype}; it must hold numbers or text")
    if y.dtype.kind == "S":
        y = np.char.decode(y, "utf-8")
    y = y[..., 0] if y.ndim > 1 and y.shape[-1] == 1 else y
    targets = _names(archive, y, f"{name}: {TARGETS}")
    if (
        not targets
        and not of_steps(x, y)
        and one_hot(_native(archive["y_train"]) if official and test else y)
    ):
        y = y.argmax(axis=1)
        notes += (f"{name}: y{part} is one-hot and was read as the numbers of its classes, 0 to {y.max()}.",)
    return Read(x, y, official, notes, _weights(archive, f"weight{part}", len(x), name), targets)


def _names(archive: Any, y: Array, where: str) -> tuple[str, ...]:
    """What the archive calls the columns of y. Raises DataError if these are not their names."""
    if TARGETS not in archive.files:
        return ()
    found = archive[TARGETS]
    if found.dtype.kind != "U" or found.ndim != 1:
        return ()  # some other array of this name
    if y.ndim < 2 or found.shape != y.shape[-1:] or len(set(found)) < len(found):
        raise DataError(
            f"{where} holds {len(found)} names, but y has the shape {y.shape}; give a different name for "
            "each of its columns, or leave the array out"
        )
    return tuple(str(name) for name in found)


def _weights(archive: Any, key: str, rows: int, name: str) -> Array | None:
    """How much rows count, if the archive says so and in a form that can be read."""
    if key not in archive.files:
        return None
    weight = _native(archive[key])
    if weight.shape != (rows,) or weight.dtype.kind not in "biuf":
        return None  # some other array of this name; who asks for weights is told
    return weight


def _native(array: Array) -> Array:
    """In this machine's order of bytes, and of a precision that others know."""
    if array.dtype.kind == "f" and array.dtype.itemsize > 8:
        return array.astype(np.float64)
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def channels_first(shape: tuple[int, ...]) -> bool:
    """Whether [N, A, B, C] are images with their channels before height and width."""
    return (
        len(shape) == 4
        and shape[1] in _CHANNELS
        and shape[3] not in _CHANNELS
        and min(shape[2:]) > max(_CHANNELS)
    )


def one_hot(y: Array) -> bool:
    """Whether targets [N, K] name one of K classes each, by a one among zeros."""
    if y.ndim != 2 or y.shape[1] < 2 or y.dtype.kind not in "biuf" or not len(y):
        return False
    return bool(np.isin(y, (0, 1)).all() and (y.sum(axis=1) == 1).all() and y.any(axis=0).sum() > 1)


def _inputs(x: Array, lengths: Array | None, where: str, where_lengths: str) -> Array:
    if x.dtype.kind not in "biuf":
        raise DataError(f"{where} holds {x.dtype}; it must hold numbers")
    if not 2 <= x.ndim <= 4 or 0 in x.shape[1:]:
        raise DataError(
            f"{where} has the shape {x.shape}; it must be [N, F], [N, T, F], [N, H, W] or [N, H, W, C]"
        )
    if x.dtype.kind == "b":
        x = x.astype(np.uint8)
    if lengths is None:
        return x[..., np.newaxis] if x.ndim == 3 else x
    if x.ndim != 3:
        raise DataError(f"{where} has the shape {x.shape}; lengths need sequences [N, T, F]")
    steps = x.shape[1]
    if lengths.shape != (len(x),) or lengths.dtype.kind not in "iu":
        raise DataError(f"{where_lengths} has the shape {lengths.shape}; it must be {len(x)} whole numbers")
    if len(lengths) and (lengths.min() < 1 or lengths.max() > steps):
        raise DataError(
            f"{where_lengths} goes from {lengths.min()} to {lengths.max()}; it must lie in 1 to {steps}"
        )
    padded = x.astype(np.result_type(x.dtype, np.float32))
    padded[np.arange(steps) >= lengths[:, np.newaxis]] = np.nan
    return padded
