"""The tables of a study file: their keys, what each may hold, and the defaults.

One pydantic model per table, closed and strict. Every key that a study can search is also known by a flat
name in `SETTINGS`: the key itself, but `optimizer` for `[optimizer] name`. To add a setting, add its line to
a table.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from workbench.core import vocabulary
from workbench.core.types import Axis, Value
from workbench.study.config.kinds import Flag, Names, Number, Numbers, Read, Text, Word
from workbench.study.config.optimizer import DEFAULT, Argument, Optimizers

#: Seeds stay within int32, so that seed + i is a seed for NumPy, Optuna and JAX alike.
_SEED = Number(0, 2**31 - 1_000_001, integer=True, axis=False)
_COUNT = Number(1, 1_000_000, integer=True, axis=False)
_NOT_NEGATIVE = Number(0.0)
_SHARE = Number(0.0, 1.0, below=True)

#: How a study chooses if it does not say: the rule that experiment c37 found best.
RULE = "keep-default"

Setting = Value | Axis


class Table(BaseModel):
    """A table of the file: unknown keys are refused, nothing is converted."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, arbitrary_types_allowed=True)


class SplitTable(Table):
    """`split = { train, validation, test }`: fractions of the rows."""

    train: Annotated[float, Number(0.0, 1.0, above=True, axis=False)]
    validation: Annotated[float, Number(0.0, 1.0, above=True, axis=False)]
    test: Annotated[float, Number(0.0, 1.0, axis=False)] = 0.0


class DataTable(Table):
    """`[data]`: where the rows come from and how they are prepared."""

    source: Annotated[
        str, Text(r"[\s\S]*\S[\s\S]*", "a built-in name, openml:NAME or the path of a data file")
    ]
    target: Annotated[str | None, Text(r"[\s\S]+", "the name of a column, in quotes")] = None
    features: Annotated[tuple[str, ...] | None, Names()] = None
    drop: Annotated[tuple[str, ...], Names()] = ()
    task: Annotated[Any, Word(("regression", "classification"), axis=False)] = None
    categorical: Annotated[tuple[str, ...], Names()] = ()
    group: Annotated[str | None, Text(r"[\s\S]+", "the name of a column, in quotes")] = None
    time: Annotated[str | None, Text(r"[\s\S]+", "the name of a column, in quotes")] = None
    test: Annotated[
        str | None, Text(r"[\s\S]*\S[\s\S]*", "the path of the official test file, in quotes")
    ] = None
    split: SplitTable | None = None
    split_seed: Annotated[int, _SEED] = 0
    folds: Annotated[int, Number(2, 100, integer=True, axis=False)] = 0
    holdouts: Annotated[int, Number(2, 100, integer=True, axis=False)] = 0
    scale: Annotated[Setting, Word(vocabulary.SCALES)] = "standardize"
    degree: Annotated[Setting, Number(1, 10, integer=True)] = 1
    target_transform: Annotated[Setting, Word(vocabulary.TARGET_TRANSFORMS)] = "none"


class ModelTable(Table):
    """`[model]`: the family and its shape."""

    family: Annotated[Setting, Word(vocabulary.FAMILIES)] = "mlp"
    depth: Annotated[Setting, Number(1, 64, integer=True)] = 2
    width: Annotated[Setting, Number(1, 8192, integer=True)] = 64
    activation: Annotated[Setting, Word(vocabulary.ACTIVATIONS, joined=vocabulary.JOIN)] = "relu"
    initializer: Annotated[Setting, Word(vocabulary.INITIALIZERS)] = "auto"
    init_scale: Annotated[Setting, Number(0.0, above=True)] = 0.05
    blocks: Annotated[Setting, Number(1, 16, integer=True)] = 2
    kernel: Annotated[Setting, Number(1, 31, integer=True)] = 3
    channels: Annotated[Setting, Number(1, 1024, integer=True)] = 16
    pooling: Annotated[Setting, Word(vocabulary.POOLINGS)] = "max"
    padding: Annotated[Setting, Word(vocabulary.PADDINGS)] = "same"
    output: Annotated[Setting, Word(vocabulary.OUTPUTS)] = "last"
    ensemble: Annotated[Setting, Number(1, 100, integer=True)] = 1


class OptimizerTable(Table):
    """`[optimizer]`: the rule, its coefficients and the schedule of the learning rate.

    Beside these keys it takes the arguments of its optimizers: see `optimizer`.
    """

    name: Annotated[Setting, Word(Optimizers(), flat="optimizer")] = DEFAULT
    learning_rate: Annotated[Setting, Number(0.0, above=True)] = 1e-3
    momentum: Annotated[Setting, _SHARE] = 0.9
    beta2: Annotated[Setting, _SHARE] = 0.999
    schedule: Annotated[Setting, Word(vocabulary.SCHEDULES, joined=vocabulary.JOIN)] = "constant"
    warmup: Annotated[Setting, _NOT_NEGATIVE] = 0.0
    final: Annotated[Setting, Number(0.0, 1.0, words={"auto": -1})] = -1
    power: Annotated[Setting, Number(0.0, above=True)] = 1.0
    boundaries: Annotated[Setting, Numbers(0.0, above=True)] = ""
    scales: Annotated[Setting, Numbers(0.0)] = ""
    pct_start: Annotated[Setting, Number(0.0, 1.0, above=True, below=True)] = 0.3
    div_factor: Annotated[Setting, Number(1.0)] = 25.0
    final_div_factor: Annotated[Setting, Number(1.0)] = 1e4
    clip: Annotated[Setting, Number(0.0, above=True, infinite=True)] = math.inf


class EarlyStopping(Table):
    """`early_stopping = { patience, min_delta }`: epochs without improvement, and what counts as one."""

    patience: Annotated[Setting, Number(0, integer=True)]
    min_delta: Annotated[Setting, _NOT_NEGATIVE] = 0.0


class RegularizationTable(Table):
    """`[regularization]`: what keeps the weights small and the training short."""

    l1: Annotated[Setting, _NOT_NEGATIVE] = 0.0
    l2: Annotated[Setting, _NOT_NEGATIVE] = 0.0
    weight_decay: Annotated[Setting, _NOT_NEGATIVE] = 0.0
    dropout: Annotated[Setting, _SHARE] = 0.0
    label_smoothing: Annotated[Setting, _SHARE] = 0.0
    early_stopping: EarlyStopping = EarlyStopping(patience=0)


class TrainingTable(Table):
    """`[training]`: how long, in what portions, and towards what."""

    epochs: Annotated[Setting, Number(1, 1_000_000, integer=True, axis=False)] = 100
    batch_size: Annotated[Setting, Number(1, integer=True, words={"all": 0})] = 32
    loss: Annotated[Setting, Word(vocabulary.LOSSES, extra=("auto",))] = "auto"
    class_weight: Annotated[Setting, Word(("none", "balanced"))] = "none"


def _sampler(value: Any) -> Any:
    """A sampler, and its arguments, which Optuna is asked for. Raises ValueError."""
    if isinstance(value, str) and value in vocabulary.SAMPLERS:
        return value
    from workbench.tuning import samplers  # loads Optuna

    return samplers.read(value)


class SearchTable(Table):
    """`[search]`: the budget and how it is spent."""

    trials: Annotated[int, _COUNT] = 100
    sampler: Annotated[Any, Read(_sampler)] = "tpe"
    pruner: Annotated[str, Word(vocabulary.PRUNERS, axis=False)] = "asha"
    seeds: Annotated[int, Number(1, 1000, integer=True, axis=False)] = 3
    stop: Annotated[str, Word(("none", "noise"), axis=False)] = "none"
    parallel: Annotated[int | None, _COUNT] = None


class SelectTable(Table):
    """`[select]`: the score that decides, and what becomes of the choice.

    threshold      the probability from which on the second of two classes is said
    refit          whether the choice is trained once more, on training and validation rows, before its test
    rule           of the best few trials and the default, trained again over seeds: the best mean, unless the
                   default is within one standard error of it (keep-default), the simplest within that error
                   (beyond-noise), the best mean (best); or the best single score of the search (single)
    smallest_gain  over the default configuration, in units of the metric: what would count, said beforehand
    """

    metric: Annotated[Any, Word(vocabulary.METRICS, axis=False)] = None
    threshold: Annotated[Setting, Number(0.0, 1.0, above=True, below=True)] = 0.5
    refit: Annotated[bool, Flag()] = False
    rule: Annotated[str, Word(("keep-default", "beyond-noise", "best", "single"), axis=False)] = RULE
    smallest_gain: Annotated[float | None, Number(0.0, axis=False)] = None


class StudyFile(Table):
    """The whole file."""

    name: Annotated[
        str,
        Text(
            r"[a-z0-9][a-z0-9._-]{0,99}",
            "made of a-z, 0-9, '.', '_' and '-', beginning with a letter or digit",
        ),
    ]
    question: Annotated[str, Text()] = ""
    seed: Annotated[int, _SEED] = 0
    data: DataTable
    model: ModelTable = Field(default_factory=ModelTable)
    optimizer: OptimizerTable = Field(default_factory=OptimizerTable)
    regularization: RegularizationTable = Field(default_factory=RegularizationTable)
    training: TrainingTable = Field(default_factory=TrainingTable)
    search: SearchTable = Field(default_factory=SearchTable)
    select: SelectTable = Field(default_factory=SelectTable)


class Where(NamedTuple):
    """Where a setting stands in a file and what it may hold."""

    path: tuple[str, ...]  # section, (table,) key
    kind: Number | Numbers | Word | Argument
    default: Value | None


def where(key: str) -> Where:
    """Where a flat setting stands; one that no table has is an argument of an optimizer."""
    if key in SETTINGS:
        return SETTINGS[key]
    return Where(("optimizer", vocabulary.argument_of(key)), Argument(), None)


def keys_of(path: tuple[str, ...]) -> tuple[str, ...]:
    """The keys of the table at `path`; empty for what is no table."""
    table: Any = StudyFile
    for step in path:
        table = _table_of(table.model_fields[step].annotation) if step in table.model_fields else None
        if table is None:
            return ()
    return tuple(table.model_fields)


def _table_of(annotation: Any) -> type[Table] | None:
    kinds = [annotation, *getattr(annotation, "__args__", ())]
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Table)), None)


def _settings(table: type[Table], path: tuple[str, ...], defaults: Table | None = None) -> dict[str, Where]:
    """Every setting below `table`: the fields annotated as `Setting`."""
    found: dict[str, Where] = {}
    for key, info in table.model_fields.items():
        default = getattr(defaults, key) if defaults else info.get_default(call_default_factory=True)
        inner = _table_of(info.annotation)
        if inner is not None:
            found |= _settings(inner, (*path, key), default if isinstance(default, inner) else None)
        elif info.annotation == Setting:
            kind = info.metadata[0]
            found[kind.flat or key] = Where((*path, key), kind, default)
    return found


#: Every setting under its flat name, in the order of the tables.
SETTINGS: Mapping[str, Where] = _settings(StudyFile, ())
