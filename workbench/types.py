"""The values that pass between the layers. Frozen when made; nothing here computes.

P lanes, S seeds, E epochs, N rows, B batch, T time steps, F features (*F any input shape), K outputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from workbench.units import AS_IT_IS, Transform

__all__ = [
    "Array",
    "Axis",
    "Choice",
    "Curves",
    "DataSpec",
    "Declared",
    "Examples",
    "Finalist",
    "Fold",
    "Opening",
    "Outcome",
    "Pixels",
    "Range",
    "SearchSpec",
    "SeedRecord",
    "Selection",
    "Settings",
    "Split",
    "Task",
    "TestScore",
    "TrialRecord",
    "Value",
]

Array = np.ndarray
Task = Literal["regression", "classification"]
Value = str | float | int | bool


# ── what is searched ────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Range:
    """A numeric axis, Optuna's words: `low` and `high` are both included."""

    low: float
    high: float
    log: bool = False
    step: float | None = None
    integer: bool = False


@dataclass(frozen=True)
class Choice:
    """A categorical axis; the first choice is the default configuration's."""

    choices: tuple[Value, ...]


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
    target: str | None = None
    features: tuple[str, ...] | None = None  # None: every other column
    drop: tuple[str, ...] = ()
    task: Task | None = None  # None: inferred from the target
    categorical: tuple[str, ...] = ()
    group: str | None = None
    time: str | None = None
    test: str | None = None  # official test file
    split: Split = field(default_factory=Split)
    folds: int = 0  # every trial trains on so many divisions of the development rows; 0: on the split's own
    holdouts: int = 0  # trials take turns at so many divisions; 0: all train on the split's own
    split_seed: int = 0  # another one gives another split, folds and hold-outs
    split_rule: Literal["content", "rows"] = (
        "content"  # rows: by row number and `seed`, as studies once began
    )
    seed: int = 0  # of training and search


@dataclass(frozen=True)
class SearchSpec:
    """The `[search]` table of a study."""

    trials: int = 100
    sampler: str = "tpe"
    pruner: str = "asha"
    seeds: int = 3
    stop: str = "none"  # noise: before the budget, when a further gain would be within noise
    parallel: int | None = None  # trials in training at once; None: see `scheduler.parallel_of`


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


class Curves(NamedTuple):
    """What happened in each epoch that was trained, [E] float32. NaN and infinity are kept."""

    train_loss: Array
    validation_loss: Array
    validation_score: Array


@dataclass(frozen=True)
class TrialRecord:
    """A finished trial: everything that is remembered of it."""

    number: int
    params: Mapping[str, Value]  # the axes only, in the order of the study
    state: Literal["complete", "pruned", "failed"]
    reason: Literal["finished", "early stopped", "pruned", "diverged", "error"]
    value: float | None  # validation score at `best_epoch`; None when there is none
    epochs: int  # epochs trained
    best_epoch: int  # 1-based; 0 when no epoch counted
    curves: Curves
    seed: int
    recipe: str  # short id of the compiled program it trained in
    seconds: float  # its share of the wall time
    rungs: Mapping[int, float] = field(default_factory=dict)  # epochs trained -> score reported
    finished: float = 0.0  # seconds since 1970 when it ended; 0.0 in records that do not say


@dataclass(frozen=True)
class TestScore:
    """The score on rows that nothing had seen. Made by the seal and by nothing else."""

    __test__ = False  # the name is the field's word, not a pytest class

    metric: str
    value: float
    low: float  # NaN where no interval can be given honestly
    high: float
    rows: int
    look: int  # 1: the first look anybody took at these rows
    confidence: float = 0.95
    rows_opened_before: int = 0  # of these rows
    rows_reused: int = 0  # opened before, and now among those that were trained or selected on
    tried: Mapping[str, int] = field(default_factory=dict)  # on these rows so far: see `looks.tried`
    remarks: str = ""  # what is not known of earlier looks
    verdict: str = ""  # said in place of value and interval, which are NaN then
    note: str = ""  # why there is no interval, or what it does not cover


@dataclass(frozen=True)
class SeedRecord:
    """The chosen configuration, trained again from another seed."""

    seed: int
    validation: float
    best_epoch: int
    curves: Curves


@dataclass(frozen=True)
class Finalist:
    """A configuration that was trained again from fresh seeds, to be compared with the other finalists."""

    trial: int
    mean: float  # of its validation scores; NaN if it diverged from one of the seeds
    spread: float  # their sample standard deviation; NaN for one
    parameters: int


@dataclass(frozen=True)
class Declared:
    """What a study says beforehand of its answer, as the ledger has it."""

    question: str
    rule: str
    smallest_gain: float | None  # over the default configuration, in units of the metric
    fingerprint: str
    trials: int  # that were finished when this was declared: 0 is before the search
    opened: bool  # whether the test set had been opened by then


@dataclass(frozen=True)
class Selection:
    """The choice, frozen before the test set is opened."""

    trial: int
    params: Mapping[str, Value]  # the axes as sampled
    settings: Mapping[str, Value]  # every setting, resolved
    validation: float  # the score it was chosen by: of its trial, or the mean over seeds of a finalist
    default: float  # the same of the default configuration (trial 0)
    optimism: float  # how much better than the truth a score that was so chosen is expected to be
    considered: int  # finished trials compared
    seeds: tuple[SeedRecord, ...]  # the first one is the model that is delivered
    parameters: int  # numbers in the model
    gain: tuple[float, float] | None = None  # 95 % interval of the gain over the default, optimism taken off
    trivial_loss: float = float("nan")  # validation loss of the class frequencies, or of the mean
    refit: SeedRecord | None = None  # the delivered model, if it was trained on validation rows as well
    rule: str = "single"  # by which it was chosen: see `finalists`
    finalists: tuple[Finalist, ...] = ()  # that it was chosen among, the best trial first; none by "single"


@dataclass(frozen=True)
class Opening:
    """The right to load a sealed test set: made by the ledger, after its row is committed."""

    study: str  # study id
    seal: str  # fingerprint of the sealed test rows
    choice: str  # fingerprint of the frozen choice
    look: int
    rows_opened_before: int = 0
    rows_reused: int = 0
    tried: Mapping[str, int] = field(default_factory=dict)
    remarks: str = ""


@dataclass(frozen=True)
class Outcome:
    """Everything a report says; what `show`, the tracker and the report draw from."""

    study: str
    question: str
    task: Task
    metric: str
    direction: Literal["maximize", "minimize"]
    axes: Mapping[str, Axis]
    trials: tuple[TrialRecord, ...]
    selection: Selection | None
    test: TestScore | None
    data: Mapping[str, str | int | float]  # name, rows, split sizes, fingerprint, target, …
    classes: tuple[str, ...]  # empty for regression
    outputs: Array  # [N, K] of the delivered model on test rows once opened, else on validation rows
    targets: Array  # [N] codes or [N, K]
    outputs_on: Literal["validation", "test"]
    seconds: Mapping[str, float]  # total, compile, train, sample, track, other
    programs: int
    mlflow: Mapping[str, str]  # tracking_uri, experiment, run_id
    environment: Mapping[str, str]  # python, jax, …, hardware, platform
    study_file: str  # its text
    stopped: str = ""  # why the search ended before its budget
    model: str = ""  # fingerprint of the delivered model, which `test` and `baselines` are of
    withheld: str = ""  # why the test set is open and this model has no figure all the same
    #: name -> value, gain, low, high, note: other models on the test rows, and how much better the choice is
    baselines: Mapping[str, Mapping[str, float | str | None]] = field(default_factory=dict)
    declared: tuple[Declared, ...] = ()  # oldest first; more than one if it was changed
