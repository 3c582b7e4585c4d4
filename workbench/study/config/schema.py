"""The one model of a study file: every key with what it may hold, its default and its meaning.

Closed and strict pydantic models, one a table. What a study can search is also known by a flat name, in
`SETTINGS`: the key itself, but `optimizer` for `[optimizer] name`. To add a key, add its line to a table; one
that trials may differ in stands in `vocabulary.SETTINGS` as well. Beside its own keys `[optimizer]` takes the
arguments of its optimizers: see `optimizer`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, NamedTuple, get_args, get_type_hints

from annotated_types import Interval
from pydantic import BaseModel, Field, PlainValidator

from workbench.core import vocabulary
from workbench.core.formatting import nearest, toml
from workbench.core.types import DataSpec, SearchSpec, Value
from workbench.study.config.kinds import (
    STRICT,
    Chosen,
    Column,
    Columns,
    Count,
    Kind,
    Named,
    NotNegative,
    Numbers,
    Positive,
    Real,
    Says,
    Searched,
    Seed,
    Share,
    Word,
    listed,
    once,
)
from workbench.study.config.optimizer import DEFAULT, Optimizers

#: How a study chooses if it does not say: the rule that experiment c37 found best.
RULE = "keep-default"

Batch = Annotated[int, Interval(ge=1, le=1_000_000_000), Named({"all": 0})]
Above0To1 = Annotated[Real, Interval(gt=0.0, le=1.0)]
Between0And1 = Annotated[Real, Interval(gt=0.0, lt=1.0)]
AtLeast1 = Annotated[Real, Interval(ge=1.0)]
#: How numbers may be written in text files.
DECIMALS, THOUSANDS = (".", ","), (".", ",", " ", "'")
FileName = Annotated[str, Field(pattern=r"\S")]
Divisions = Annotated[int, Interval(ge=2, le=100)]


def key(default: Any, meaning: str) -> Any:
    """A key with its default, `...` if it must be written, and its meaning."""
    return Field(default, description=meaning)


class Table(BaseModel):
    """A table of the file: unknown keys are refused, nothing is converted."""

    model_config = STRICT


#: What `target` holds.
_TARGET = "the name of a column, in quotes, or a list of such names"


def _target(value: Any) -> str | tuple[str, ...] | None:
    """A column, or several; a list of one is that one. Raises ValueError."""
    if value is None or (isinstance(value, str) and value):
        return value
    names = list(value) if isinstance(value, list | tuple) else []
    if not names or not all(isinstance(name, str) and name for name in names):
        raise ValueError(f"is not {_TARGET}")
    several = once(names)
    return several if len(several) > 1 else several[0]


class SplitTable(Table):
    """`split = { train, validation, test }`."""

    train: Above0To1 = key(..., "share of the rows that is trained on; without split it is 0.6")
    validation: Above0To1 = key(..., "share that the search judges by; without split 0.2")
    test: Annotated[Real, Interval(ge=0.0, le=1.0)] = key(0.0, "share that is sealed; without split 0.2")


class DataTable(Table):
    """`[data]`: where the rows come from and how they are prepared."""

    source: Annotated[FileName, Says("a built-in name, openml:NAME or the path of a data file")] = key(
        ..., "the rows: a built-in name, openml:NAME, or a file beside the study"
    )
    target: Annotated[Any, PlainValidator(_target), Says(_TARGET)] | None = key(
        DataSpec.target,
        "the column to predict, or several, of numbers or of labels, which one model predicts",
    )
    features: Columns | None = key(DataSpec.features, "the columns to predict from; all others unless given")
    drop: Columns = key(DataSpec.drop, "columns to leave out")
    task: Annotated[str, Word(("regression", "classification", "multilabel"))] | None = key(
        DataSpec.task,
        "what the target is; told from its values unless given. multilabel: several columns of yes and no",
    )
    categorical: Columns = key(DataSpec.categorical, "columns of numbers that stand for categories")
    group: Column | None = key(
        DataSpec.group, "rows with one value of this column stay on one side of every split"
    )
    time: Column | None = key(DataSpec.time, "the split follows this column: the latest rows are the test's")
    weight: Column | None = key(
        DataSpec.weight, "how much each row counts, in training and in every score; it is no feature"
    )
    test: Annotated[FileName, Says("the path of the official test file, in quotes")] | None = key(
        DataSpec.test, "an official test file, in place of a share of the rows"
    )
    decimal: Annotated[str, Word(DECIMALS)] | None = key(
        DataSpec.decimal, "the mark before decimals in text files; told from the file unless given"
    )
    thousands: Annotated[str, Word(THOUSANDS)] | None = key(
        DataSpec.thousands, "the mark between thousands in text files; told from the file unless given"
    )
    encoding: Annotated[FileName, Says("the name of an encoding, such as cp1252 or utf-16")] | None = key(
        DataSpec.encoding, "of text files; UTF-8 unless given, or what the file is told to be"
    )
    split: SplitTable | None = key(None, "shares of the rows")
    split_seed: Seed = key(DataSpec.split_seed, "another one: another split, folds and holdouts")
    folds: Divisions = key(DataSpec.folds, "every trial trains on so many folds of the development rows")
    holdouts: Divisions = key(
        DataSpec.holdouts, "trials take turns at so many divisions of the development rows"
    )
    scale: Chosen[Annotated[str, Word(vocabulary.SCALES)]] = key(
        "standardize", "what is done to numeric features, fitted on training rows alone"
    )
    degree: Searched[Annotated[int, Interval(ge=1, le=10)]] = key(
        1, "products of the features up to this degree are features too"
    )
    numbers: Chosen[Annotated[str, Word(vocabulary.NUMBERS)]] = key(
        "plain",
        "how numeric features are encoded, after scale: not at all, or piecewise linearly, as how far each "
        "has come through its bins, which are quantiles or, for piecewise_tree, tell the target",
    )
    bins: Chosen[Annotated[int, Interval(ge=2, le=256)]] = key(
        48, "most bins of a number that is piecewise; fewer where it takes few values"
    )
    target_transform: Chosen[Annotated[str, Word(vocabulary.TARGET_TRANSFORMS)]] = key(
        "none", "what is done to a skewed target before training; log is log(1 + y)"
    )


class ModelTable(Table):
    """`[model]`: the family and its shape."""

    family: Chosen[Annotated[str, Word(vocabulary.FAMILIES)]] = key("mlp", "the kind of network")
    depth: Searched[Annotated[int, Interval(ge=1, le=64)]] = key(2, "hidden layers")
    width: Searched[Annotated[int, Interval(ge=1, le=8192)]] = key(64, "units of each hidden layer")
    taper: Searched[Above0To1] = key(
        1.0, "width of each further hidden layer as a share of the one before; 0.5 makes 256, 128, 64"
    )
    widths: Chosen[Numbers[Annotated[int, Interval(ge=1, le=8192)]]] = key(
        "", "units of each hidden layer, such as [256, 128, 64], in place of depth, width and taper"
    )
    activation: Chosen[Annotated[str, Word(vocabulary.ACTIVATIONS, joined=vocabulary.JOIN)]] = key(
        "relu", 'after each hidden layer; "tanh-relu": tanh after the first, ReLU after the others'
    )
    initializer: Chosen[Annotated[str, Word(vocabulary.INITIALIZERS)]] = key(
        "auto",
        "how weights are drawn; auto is he_normal for rectifiers, lecun_normal for selu, else glorot_uniform",
    )
    init_scale: Searched[Positive] = key(0.05, "size of the weights that uniform and normal draw")
    blocks: Searched[Annotated[int, Interval(ge=1, le=16)]] = key(2, "blocks of a cnn")
    kernel: Searched[Annotated[int, Interval(ge=1, le=31)]] = key(
        3, "pixels along a side of a convolution, or its steps"
    )
    channels: Searched[Annotated[int, Interval(ge=1, le=1024)]] = key(
        16, "channels of the first block; each further one has twice as many"
    )
    pooling: Chosen[Annotated[str, Word(vocabulary.POOLINGS)]] = key("max", "at the end of a block")
    padding: Chosen[Annotated[str, Word(vocabulary.PADDINGS)]] = key(
        "same", "of a convolution: same keeps height and width, valid pads nothing"
    )
    residual_blocks: Searched[Annotated[int, Interval(ge=0, le=8)]] = key(
        0, "pairs of convolutions with a shortcut past them, after the pooling of each block"
    )
    global_pooling: Chosen[Annotated[str, Word(vocabulary.GLOBAL_POOLINGS)]] = key(
        "none", "over all places or steps that are left, before the dense layer of a cnn"
    )
    output: Chosen[Annotated[str, Word(vocabulary.OUTPUTS)]] = key(
        "last", "of a recurrent network: after the last step, or after each"
    )
    bidirectional: Chosen[bool] = key(
        False, "of a recurrent network: a second one goes from the last step to the first"
    )
    norm: Chosen[Annotated[str, Word(vocabulary.NORMS)]] = key(
        "none", "layer: each hidden layer is normalized before its activation"
    )
    embedding: Chosen[Annotated[str, Word(vocabulary.EMBEDDINGS)]] = key(
        "none", "of numbers in rows, before the first layer; periodic and pbld see each as waves"
    )
    frequencies: Searched[Annotated[int, Interval(ge=1, le=256)]] = key(16, "waves that embed each number")
    sigma: Searched[Positive] = key(0.1, "deviation of their frequencies; 0.01 to 1 for standardized numbers")
    members: Searched[Annotated[int, Interval(ge=1, le=256)]] = key(
        8, "members of a tabm or tabm_mini, which share the weights of one network"
    )
    ensemble: Searched[Annotated[int, Interval(ge=1, le=100)]] = key(
        1, "initializations whose average a model is"
    )


class OptimizerTable(Table):
    """`[optimizer]`: the rule, its coefficients and the schedule of the learning rate."""

    name: Chosen[Annotated[str, Word(Optimizers())]] = key(
        DEFAULT, "any optimizer of optax; its arguments are keys of this table"
    )
    learning_rate: Searched[Positive] = key(1e-3, "before the schedule")
    momentum: Searched[Share] = key(0.9, "share of the past gradients that is kept")
    beta2: Searched[Share] = key(0.999, "share of the past squared gradients that is kept")
    schedule: Chosen[Annotated[str, Word(vocabulary.SCHEDULES, joined=vocabulary.JOIN)]] = key(
        "constant", 'of the learning rate; "constant-cosine" has one follow the other'
    )
    warmup: Searched[NotNegative] = key(0.0, "epochs in which the learning rate rises to its own")
    final: Searched[Annotated[Real, Interval(ge=0.0, le=1.0), Named({"auto": -1})]] = key(
        -1, "share of the learning rate at the end; auto is 0, and 0.01 where it is exponential"
    )
    power: Searched[Positive] = key(1.0, "of the polynomial schedule; 1 is a straight line")
    boundaries: Chosen[Numbers[Positive]] = key(
        "", "epochs at which a piecewise or joined schedule goes on to its next part"
    )
    scales: Chosen[Numbers[NotNegative]] = key(
        "", "what a piecewise schedule multiplies the learning rate by at each boundary"
    )
    pct_start: Searched[Between0And1] = key(0.3, "share of the epochs in which one_cycle rises")
    div_factor: Searched[AtLeast1] = key(25.0, "one_cycle begins at the learning rate by this")
    final_div_factor: Searched[AtLeast1] = key(1e4, "and ends at its beginning by this")
    clip: Searched[Annotated[float, Interval(gt=0.0)]] = key(
        math.inf, "longest gradient; a longer one is shortened to it"
    )


class EarlyStopping(Table):
    """`early_stopping = { patience, min_delta }`."""

    patience: Searched[Annotated[int, Interval(ge=0, le=1_000_000)]] = key(
        ..., "epochs without improvement after which a trial ends; 0: never"
    )
    min_delta: Searched[NotNegative] = key(0.0, "smallest gain that is an improvement")


class RegularizationTable(Table):
    """`[regularization]`: what keeps the weights small and the training short."""

    l1: Searched[NotNegative] = key(0.0, "penalty on the size of the weights")
    l2: Searched[NotNegative] = key(0.0, "penalty on half the squares of the weights")
    weight_decay: Searched[NotNegative] = key(
        0.0, "decoupled decay of the weights, for adamw and the optimizers of optax"
    )
    dropout: Searched[Share] = key(0.0, "share of the hidden units that a step leaves out")
    label_smoothing: Searched[Share] = key(0.0, "share of a label given to all classes alike")
    early_stopping: EarlyStopping = key(EarlyStopping(patience=0), "when a trial has enough")


class Augmentation(Table):
    """`augment = { shift, flip }`."""

    shift: Searched[Annotated[int, Interval(ge=0, le=64)]] = key(
        0, "pixels by which a step shifts each training image at most, up or down and left or right"
    )
    flip: Searched[Annotated[Real, Interval(ge=0.0, le=1.0)]] = key(
        0.0, "probability that a step mirrors a training image, left to right"
    )


class TrainingTable(Table):
    """`[training]`: how long, in what portions, and towards what."""

    epochs: Count = key(100, "passes over the training rows")
    batch_size: Searched[Batch] = key(32, "rows of a step")
    loss: Chosen[Annotated[str, Word(vocabulary.LOSSES, extra=("auto",))]] = key(
        "auto", "what training lowers; auto is the usual one of the task and family"
    )
    quantile: Between0And1 = key(
        0.5, "share of the targets that lie below a prediction; of the loss and the metric pinball"
    )
    class_weight: Chosen[Annotated[str, Word(("none", "balanced"))]] = key(
        "none", "balanced: all classes count alike in training"
    )
    ema: Searched[Share] = key(
        0.0,
        "share that the average of the weights keeps at each update, such as 0.99; the average is judged and "
        "delivered; 0: the last weights are",
    )
    augment: Augmentation = key(Augmentation(), "what a step does to training images at random")


#: What `sampler` holds.
_SAMPLER = f'{listed(tuple(vocabulary.SAMPLERS))}, or a table such as {{ name = "cmaes", sigma0 = 0.2 }}'


def _sampler(value: Any) -> Any:
    """A sampler, and its arguments, which Optuna is asked for. Raises ValueError."""
    if isinstance(value, str) and value in vocabulary.SAMPLERS:
        return value
    from workbench.tuning import sampler_words  # loads Optuna

    return sampler_words.read(value)


#: What `start` holds.
_START = "a list of tables of searched keys, such as [{ learning_rate = 0.01, depth = 2 }]"


def _start(value: Any) -> tuple[Mapping[str, Any], ...] | None:
    """Tables of plain values. Raises ValueError."""
    if value is None:
        return None
    if not isinstance(value, list | tuple) or not value:
        raise ValueError(f"is not {_START}")
    for one in value:
        if not isinstance(one, Mapping) or not one:
            raise ValueError(f"is not {_START}")
        if not all(isinstance(each, str | int | float | bool) for each in one.values()):
            raise ValueError(f"is not {_START}")
    return tuple(dict(one) for one in value)


class SearchTable(Table):
    """`[search]`: the budget and how it is spent."""

    trials: Count = key(
        SearchSpec.trials,
        "configurations to try, all runs of the study together; 1 unless given where no key is an axis",
    )
    sampler: Annotated[Any, PlainValidator(_sampler), Says(_SAMPLER)] = key(
        SearchSpec.sampler, "what chooses the next configuration: Optuna's samplers, with their arguments"
    )
    pruner: Annotated[str, Word(vocabulary.PRUNERS)] = key(
        SearchSpec.pruner, "what ends trials that are behind"
    )
    seeds: Annotated[int, Interval(ge=1, le=1000)] = key(
        SearchSpec.seeds, "how often each finalist is trained again"
    )
    stop: Annotated[str, Word(("none", "noise"))] = key(
        SearchSpec.stop, "noise: end once the last doubling of the trials gained no more than noise"
    )
    timeout: Positive | None = key(
        SearchSpec.timeout,
        "seconds after which no more trials are asked for, of all runs of the study together",
    )
    stop_at: Real | None = key(
        SearchSpec.stop_at,
        "value of the metric that is enough: a trial ends after the epoch that reaches it, and no more are "
        "asked for",
    )
    parallel: Count | None = key(
        SearchSpec.parallel, "trials in training at once; told from the budget unless given"
    )
    start: Annotated[Any, PlainValidator(_start), Says(_START)] | None = key(
        SearchSpec.start, "configurations to begin with, after the default; what they leave out is as there"
    )
    start_from: Annotated[str, Field(min_length=1)] | None = key(
        SearchSpec.start_from, "a study of the same home, by name or id, whose best trials are tried next"
    )


#: What `also` holds.
_ALSO = 'a list of metrics, such as ["log_loss", "f1_macro"]'


def _also(value: Any) -> tuple[str, ...]:
    """Names of metrics. Raises ValueError."""
    if not isinstance(value, list | tuple) or not all(isinstance(one, str) for one in value):
        raise ValueError(f"is not {_ALSO}")
    for name in value:
        if name not in vocabulary.METRICS:
            close = nearest(name, vocabulary.METRICS)
            hint = f"did you mean {toml(close)}?" if close else f"known are {listed(vocabulary.METRICS)}"
            raise ValueError(f"names {toml(name)}, which is not known; {hint}")
        if list(value).count(name) > 1:
            raise ValueError(f"names {toml(name)} twice; drop one")
    return tuple(value)


class SelectTable(Table):
    """`[select]`: the score that decides, and what becomes of the choice."""

    metric: Annotated[str, Word(vocabulary.METRICS)] | None = key(
        None,
        "the score that decides; unless given accuracy for classes, rmse for numbers, r2 where target lists "
        "several, log_loss for labels and nll for those of steps, or pinball where that is the loss",
    )
    also: Annotated[Any, PlainValidator(_also), Says(_ALSO)] = key(
        (), "metrics that are recorded of every trial beside the one that decides, and of the test"
    )
    threshold: Searched[Between0And1] = key(
        0.5, "probability from which on the second of two classes, or a label, is said"
    )
    refit: bool = key(False, "train the choice once more, on training and validation rows, before its test")
    average: bool = key(
        True, "deliver the average of the networks of all seeds where validation rows find it no worse"
    )
    calibrate: bool = key(
        False, "divide the logits of the choice by the temperature that its validation rows ask for"
    )
    rule: Annotated[str, Word(("keep-default", "beyond-noise", "best", "single"))] = key(
        RULE,
        "among finalists trained again over seeds: the best mean, unless the default is within "
        "one standard error of it (keep-default), the simplest within that error (beyond-noise), the best "
        "mean (best); or the best single score of the search (single)",
    )
    smallest_gain: NotNegative | None = key(
        None, "gain over the default configuration that would count, in units of the metric"
    )


class StudyFile(Table):
    """The whole file."""

    name: Annotated[
        str,
        Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,99}$"),
        Says("made of a-z, 0-9, '.', '_' and '-', beginning with a letter or digit"),
    ] = key(..., "of the study; its records are found by it")
    question: str = key("", "what the study is to answer; the report begins with it")
    seed: Seed = key(0, "of training and search; the split has its own")
    data: DataTable
    model: ModelTable = ModelTable()
    optimizer: OptimizerTable = OptimizerTable()
    regularization: RegularizationTable = RegularizationTable()
    training: TrainingTable = TrainingTable()
    search: SearchTable = SearchTable()
    select: SelectTable = SelectTable()


# ── the keys ────────────────────────────────────────────────────────────────────────────────────


#: Section, perhaps a table in it, and key.
Place = tuple[str, ...]


class Key(NamedTuple):
    """A key of the file: where it stands, what it may hold, and what it means."""

    path: Place
    kind: Kind
    default: Value | None
    meaning: str = ""
    required: bool = False  # where its table is written


def _keys(table: type[Table], path: Place = (), defaults: Table | None = None) -> Iterator[Key]:
    hints = get_type_hints(table, include_extras=True)
    for name, info in table.model_fields.items():
        default = info.default if defaults is None else getattr(defaults, name)
        inner = _table_of(info.annotation)
        if inner is not None:
            yield from _keys(inner, (*path, name), default if isinstance(default, inner) else None)
        else:
            default = None if info.is_required() and defaults is None else default
            yield Key(
                (*path, name), Kind.of(hints[name]), default, info.description or "", info.is_required()
            )


def _table_of(annotation: Any) -> type[Table] | None:
    kinds = [annotation, *get_args(annotation)]
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Table)), None)


def _flat(path: Place) -> str:
    return "optimizer" if path == ("optimizer", "name") else path[-1]


#: Every key of the file, in the order of the tables.
KEYS: Mapping[Place, Key] = {key.path: key for key in _keys(StudyFile)}
#: What trials may differ in, under its flat name.
SETTINGS: Mapping[str, Key] = {
    _flat(key.path): key for key in KEYS.values() if _flat(key.path) in vocabulary.SETTINGS
}


def where(setting: str) -> Key:
    """A setting under its flat name; one that no table has is an argument of an optimizer."""
    if setting in SETTINGS:
        return SETTINGS[setting]
    return Key(("optimizer", vocabulary.argument_of(setting)), Kind(Any, ()), None)


def keys_of(path: Place) -> tuple[str, ...]:
    """The keys of the table at `path`; empty for what is no table."""
    below = [key[len(path)] for key in KEYS if len(key) > len(path) and key[: len(path)] == path]
    return tuple(dict.fromkeys(below))
