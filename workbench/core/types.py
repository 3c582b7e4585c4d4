"""The values that pass between the layers. Frozen when made; nothing here computes, but for arrays as text.

P lanes, S seeds, E epochs, N rows, B batch, T time steps, F features (*F any input shape), K outputs.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np

from workbench.core.target_transform import AS_IT_IS, Transform


def encode_array(values: np.ndarray) -> str:
    """float32 of one dimension as text."""
    return base64.b64encode(np.asarray(values, "<f4").tobytes()).decode()


def decode_array(text: str) -> np.ndarray:
    """The inverse of `encode_array`."""
    return np.frombuffer(base64.b64decode(text), "<f4").astype(np.float32)


class _Text:
    """How pydantic reads an array: from its text, or as it is."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        def read(value: Any) -> Any:
            return decode_array(value) if isinstance(value, str) else np.asarray(value)

        return core_schema.no_info_plain_validator_function(read)


Array = Annotated[np.ndarray, _Text()]
Task = Literal["regression", "classification", "multilabel"]
Value = str | float | int | bool


# ── what is searched ────────────────────────────────────────────────────────────────────────────


#: In which trials an axis takes part: settings by their flat names, and the values that each must have one
#: of; empty: in all. See `conditions`.
Condition = tuple[tuple[str, tuple[Value, ...]], ...]


@dataclass(frozen=True)
class Range:
    """A numeric axis, Optuna's words: `low` and `high` are both included."""

    low: int | float
    high: int | float
    log: bool = False
    step: int | float | None = None
    integer: bool = False
    when: Condition = ()
    otherwise: Value | None = None  # what the setting is where the axis takes no part


@dataclass(frozen=True)
class Choice:
    """A categorical axis; the first choice is the default configuration's."""

    choices: tuple[Value, ...]
    when: Condition = ()
    otherwise: Value | None = None


Axis = Range | Choice
#: Every searchable key of a study under its flat name: a fixed value or an axis.
Settings = Mapping[str, "Value | Axis"]


# ── what is asked for ───────────────────────────────────────────────────────────────────────────


class Split(NamedTuple):
    """Fractions of the rows; they sum to one."""

    train: float = 0.6
    validation: float = 0.2
    test: float = 0.2


@dataclass(frozen=True)
class DataSpec:
    """The `[data]` table of a study, paths resolved against the study file's folder."""

    source: str  # built-in name, openml:NAME, or the path as the user wrote it
    folder: Path = Path()  # what a relative path is relative to
    target: str | tuple[str, ...] | None = None  # a column, or several
    features: tuple[str, ...] | None = None  # None: every other column
    drop: tuple[str, ...] = ()
    task: Task | None = None  # None: inferred from the target
    categorical: tuple[str, ...] = ()
    group: str | None = None
    time: str | None = None
    weight: str | None = None  # how much each row counts
    test: str | None = None  # official test file
    decimal: str | None = None  # the mark before decimals in text files; None: what the file shows
    thousands: str | None = None  # the mark between thousands
    encoding: str | None = None  # of text files; None: UTF-8, or what the file shows
    split: Split = field(default_factory=Split)
    folds: int = 0  # every trial trains on so many divisions of the development rows; 0: on the split's own
    holdouts: int = 0  # trials take turns at so many divisions; 0: all train on the split's own
    split_seed: int = 0  # another one gives another split, folds and hold-outs
    split_rule: Literal["content", "rows"] = (
        "content"  # rows: by row number and `seed`, as studies once began
    )
    seed: int = 0  # of training and search

    @property
    def target_names(self) -> tuple[str, ...]:
        """The columns to predict, as far as they are said."""
        if self.target is None:
            return ()
        return (self.target,) if isinstance(self.target, str) else self.target


_TIMEOUT, _REACHED = "the timeout", "a trial reached stop_at"


@dataclass(frozen=True)
class SearchSpec:
    """The `[search]` table of a study."""

    trials: int = 100
    sampler: str | Mapping[str, Any] = "tpe"  # its word; with arguments, a table of `name` and these
    pruner: str = "asha"
    seeds: int = 3
    stop: str = "none"  # noise: before the budget, when a further gain would be within noise
    parallel: int | None = None  # trials in training at once; None: see `scheduler.parallel_of`
    timeout: float | None = None  # seconds after which no more trials are asked for
    start: tuple[Mapping[str, Value], ...] | None = None  # configurations after the default, some axes each
    start_from: str | None = None  # a study of the same home, whose best trials come next
    stop_at: float | None = None  # score that is enough: it ends the trial that has it, and the search

    @property
    def timed_out(self) -> str:
        """Why a search ended whose time was over."""
        return f"{_TIMEOUT} of {self.timeout:g} s is over"

    @property
    def reached(self) -> str:
        """Why a search ended that has what it was for."""
        return f"{_REACHED} = {self.stop_at:g}"

    def ends(self, reason: str) -> bool:
        """Whether a search that ended for this reason stays ended under the rules that the study has now.

        A rule may have been taken back, and a timeout may be another one.
        """
        if reason.startswith(_TIMEOUT):
            return self.timeout is not None and reason == self.timed_out
        if reason.startswith(_REACHED):
            return self.stop_at is not None and reason == self.reached
        return self.stop == "noise"

    @property
    def sampler_name(self) -> str:
        """The word of the sampler alone."""
        return self.sampler if isinstance(self.sampler, str) else str(self.sampler["name"])


# ── what is trained on ──────────────────────────────────────────────────────────────────────────


class Examples(NamedTuple):
    """Rows ready for a model; NumPy arrays on the host, JAX arrays on the devices.

    x       [N, *F] float32, or bytes: see `Pixels`
    y       [N] int32 class codes, or [N, K] float32 in the units of the data
    weight  [N] float32, zero for padding
    """

    x: Any
    y: Any
    weight: Any


class Pixels(NamedTuple):
    """What makes of an image's bytes, [N, H, W, C], the float32 that a model sees: (byte - shift) * rate.

    A step has them made for its own rows, so that images take a quarter of the memory.
    """

    shift: Any  # [C] float32
    rate: Any  # [C] float32


class Fold(NamedTuple):
    """What one training program sees; never a test row.

    Regression models are trained on (transform(y) - shift) / scale; scores are in the units of the data.
    shift, scale    [K] float32; zeros and ones for classes
    """

    train: Examples
    validation: Examples
    shift: Any
    scale: Any
    transform: Transform = AS_IT_IS
    pixels: Pixels | None = None  # of rows that are bytes


# ── what came out ───────────────────────────────────────────────────────────────────────────────
