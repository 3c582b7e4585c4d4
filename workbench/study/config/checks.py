"""What no single key can say: settings that must agree with each other, and with the data.

`check_file` needs the study alone, `check_fit` the shape of its data as well; both raise StudyError with one
sentence. `notes` are remarks on settings that nothing reads.

What keys of a study's `[data]` must agree on, before any data are read.

What a study says of a setting, and how a sentence about it begins.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from workbench.core import vocabulary
from workbench.core.errors import StudyError
from workbench.core.formatting import toml
from workbench.core.types import Choice, Range, Task, Value
from workbench.study.config.errors import label
from workbench.study.config.optimizer_checks import check_optimizer, optimizer_notes
from workbench.study.config.schema import SETTINGS, where
from workbench.study.config.text import written

if TYPE_CHECKING:
    from workbench.study.config.study import Study


#: More polynomial features than this do not fit a program.
MAX_FEATURES = 20_000


def metric_of(study: Study, task: Task) -> str:
    """The metric that decides: the study's own, or the usual one of the task."""
    return study.metric or {"classification": "accuracy", "regression": "rmse"}[task]


def check_file(study: Study) -> None:
    """Raises StudyError if keys of the file contradict each other."""
    check_data(study)
    check_optimizer(study)
    if study.data.task and study.metric:
        metric = vocabulary.METRICS[study.metric]
        if (metric.task == "regression") != (study.data.task == "regression"):
            fitting = listed(
                name for name, m in vocabulary.METRICS.items() if _possible(m.task, study.data.task)
            )
            raise StudyError(
                f"{study.path}: [select] metric = {toml(study.metric)} is for {_task(metric.task)}, but "
                f"[data] task = {toml(study.data.task)}; choose {fitting}"
            )
    hidden = [family for family in values(study, "family") if vocabulary.FAMILIES[str(family)].hidden]
    if hidden and "zeros" in values(study, "initializer"):
        raise StudyError(
            f"{shown(study, 'initializer')} starts all hidden units alike, so family {toml(hidden[0])} "
            'cannot learn; write initializer = "auto"'
        )
    if study.search.sampler_name in vocabulary.EXHAUSTIVE:
        for key, axis in study.axes.items():
            if isinstance(axis, Range) and not axis.integer and axis.step is None:
                raise StudyError(
                    f"{shown(study, key)} has no end of values, but [search] sampler = "
                    f"{toml(study.search.sampler)} needs a finite axis; add step, write choices or take "
                    "another sampler"
                )


def check_fit(
    study: Study,
    task: Task,
    n_classes: int,
    input_shape: tuple[int, ...],
    *,
    train_rows: int | None = None,
    of_steps: bool = False,
) -> None:
    """Raises StudyError if the study asks for what its data cannot give.

    n_classes is 0 for regression; input_shape is *F of one example, before polynomial features; of_steps:
    every step of a sequence has a target of its own.
    """
    what = "a regression target" if task == "regression" else f"a target of {n_classes} classes"
    for family in values(study, "family"):
        asks = vocabulary.FAMILIES[str(family)]
        if not any(_fits(kind, task, n_classes) for kind in asks.tasks):
            fitting = listed(
                name
                for name, f in vocabulary.FAMILIES.items()
                if any(_fits(kind, task, n_classes) for kind in f.tasks)
            )
            raise StudyError(
                f"{offence(study, 'family', family)} is for {_tasks(asks.tasks)}, but "
                f"{study.data.source} has {what}; choose {fitting}"
            )
        if asks.input_rank not in (1, len(input_shape)):
            wanted = {2: "sequences [T, F]", 3: "images [H, W, C]"}[asks.input_rank]
            raise StudyError(
                f"{offence(study, 'family', family)} reads {wanted}, but an example of "
                f"{study.data.source} has the shape {list(input_shape)}; choose another family"
            )
    _check_steps(study, of_steps)
    for loss in values(study, "loss"):
        if loss != "auto" and not any(_fits(kind, task, n_classes) for kind in vocabulary.LOSSES[str(loss)]):
            raise StudyError(
                f"{offence(study, 'loss', loss)} is for {_tasks(vocabulary.LOSSES[str(loss)])}, but "
                f'{study.data.source} has {what}; write loss = "auto"'
            )
    metric = vocabulary.METRICS[metric_of(study, task)]
    if not _fits(metric.task, task, n_classes):
        fitting = listed(name for name, m in vocabulary.METRICS.items() if _fits(m.task, task, n_classes))
        raise StudyError(
            f"{study.path}: [select] metric = {toml(study.metric)} is for {_task(metric.task)}, but "
            f"{study.data.source} has {what}; choose {fitting}"
        )
    if task == "regression":
        for key, off in (("class_weight", "none"), ("label_smoothing", 0.0)):
            if study.settings[key] != off:
                raise StudyError(
                    f"{shown(study, key)} is for classes, but {study.data.source} has {what}; drop the key"
                )
    elif study.settings["target_transform"] != "none":
        raise StudyError(
            f"{shown(study, 'target_transform')} is for numbers, but {study.data.source} has {what}; "
            "drop the key"
        )
    if n_classes != 2 and study.settings["threshold"] != 0.5:
        raise StudyError(
            f"{shown(study, 'threshold')} is for two classes, but {study.data.source} has {what}; "
            "drop the key"
        )
    if train_rows is not None:
        largest = max(numbers(study, "batch_size"))
        if largest > train_rows:
            raise StudyError(
                f"{offence(study, 'batch_size', int(largest))} is more than the {train_rows} training "
                f'rows of {study.data.source}; take fewer, or "all"'
            )
    from workbench.tuning import samplers  # loads Optuna

    try:
        samplers.check(study.axes, study.search.sampler)
    except StudyError as error:
        raise StudyError(f"{study.path}: {error}") from None
    degree, n = int(max(numbers(study, "degree"))), math.prod(input_shape)
    if math.comb(n + degree, degree) > MAX_FEATURES and degree > 1:
        raise StudyError(
            f"{offence(study, 'degree', degree)} makes {math.comb(n + degree, degree):,} features of "
            f"{n}, more than {MAX_FEATURES:,}; lower it or name fewer [data] features"
        )


def notes(study: Study) -> tuple[str, ...]:
    """Remarks on what is written but not read."""
    remarks = []
    families = [str(family) for family in values(study, "family")]
    shaping = {key for family in vocabulary.FAMILIES.values() for key in family.shaped_by}
    reads = {key for family in families for key in vocabulary.FAMILIES[family].shaped_by}
    for key, value in study.settings.items():
        if value != where(key).default and key in shaping - reads:
            remarks.append(f"{label(SETTINGS[key].path)} is not read by family {listed(families)}")
    remarks += optimizer_notes(study)
    if study.settings["init_scale"] != SETTINGS["init_scale"].default and not {"uniform", "normal"} & set(
        values(study, "initializer")
    ):
        remarks.append("[model] init_scale is read by the initializers uniform and normal alone")
    alike = [family for family in families if not vocabulary.FAMILIES[family].hidden]
    if alike and study.settings["ensemble"] != 1:
        remarks.append(
            f"[model] ensemble averages different starts, but family {listed(alike)} has only one, "
            "so its members are alike"
        )
    if study.metric and not vocabulary.METRICS[study.metric].decides and study.settings["threshold"] != 0.5:
        remarks.append(f"[select] threshold is not read by metric {toml(study.metric)}, by predictions alone")
    if not study.axes:
        remarks.append("no key is an axis, so there is one configuration and nothing to search")
    return tuple(remarks)


def _check_steps(study: Study, of_steps: bool) -> None:
    """Outputs for every step belong to targets for every step, and to nothing else."""
    source, recurrent = (
        study.data.source,
        [n for n, f in vocabulary.FAMILIES.items() if "output" in f.shaped_by],
    )
    reading = [family for family in values(study, "family") if family in recurrent]
    if not of_steps:
        if reading and "each" in values(study, "output"):
            raise StudyError(
                f"{offence(study, 'output', 'each')} gives an output for every step, but {source} has one "
                'target for a sequence; write output = "last"'
            )
        return
    for family in values(study, "family"):
        if family not in recurrent:
            raise StudyError(
                f"{offence(study, 'family', family)} gives one output, but {source} has a target for every "
                f"step of a sequence; choose {listed(recurrent)}"
            )
    if values(study, "output") != ("each",):
        raise StudyError(
            f"{offence(study, 'output', 'last')} gives one output, but {source} has a target for every step "
            'of a sequence; write output = "each"'
        )
    if "balanced" in values(study, "class_weight"):
        raise StudyError(
            f"{offence(study, 'class_weight', 'balanced')} weighs rows by their class, but {source} has a "
            'target for every step of a sequence; write class_weight = "none"'
        )


def _fits(kind: str, task: Task, n_classes: int) -> bool:
    return kind == task or (kind == "binary" and task == "classification" and n_classes == 2)


def _possible(kind: str, task: Task) -> bool:
    return (kind == "regression") == (task == "regression")


def _task(kind: str) -> str:
    return {"binary": "two classes", "classification": "classes"}.get(kind, kind)


def _tasks(kinds: tuple[str, ...]) -> str:
    return " and ".join(_task(kind) for kind in kinds)


if TYPE_CHECKING:
    from workbench.study.config.study import Study


def check_data(study: Study) -> None:
    """Raises StudyError if keys of `[data]` contradict each other."""
    _check_split(study)
    _check_columns(study)
    data, file = study.data, study.path
    if data.folds and data.holdouts:
        raise StudyError(f"{file}: [data] folds and holdouts exclude each other; drop one")
    if data.time and data.holdouts:
        raise StudyError(
            f"{file}: [data] holdouts = {data.holdouts} shuffles rows that [data] time = {toml(data.time)} "
            "keeps in their order; write folds instead"
        )


def _check_split(study: Study) -> None:
    split, place = study.data.split, f"{study.path}: [data] split = {toml(study.data.split._asdict())}"
    total = math.fsum(split)
    if abs(total - 1.0) > 1e-6:
        raise StudyError(f"{place} sums to {total:.6g}; the fractions must sum to 1")
    archive = study.data.source.endswith(".npz")  # may hold official test rows of its own
    if study.data.test is None and split.test == 0.0 and not archive:
        raise StudyError(
            f'{place} leaves no test rows; give test a share, or name an official file: test = "..."'
        )
    if study.data.test is not None and split.test > 0.0:
        raise StudyError(
            f"{place} takes test rows beside the official file {toml(study.data.test)}; write test = 0 and "
            "let train and validation sum to 1"
        )


def _check_columns(study: Study) -> None:
    data, file = study.data, study.path
    for key in ("features", "drop", "categorical"):
        if data.target is not None and data.target in (getattr(data, key) or ()):
            raise StudyError(f"{file}: [data] {key} names the target {toml(data.target)}; drop it from {key}")
    for column in data.features or ():
        if column in data.drop:
            raise StudyError(f"{file}: [data] features and drop both name {toml(column)}; drop it from one")
    for key in ("group", "time"):
        column = getattr(data, key)
        if column is not None and column == data.target:
            raise StudyError(f"{file}: [data] {key} = {toml(column)} is the target; name another column")


if TYPE_CHECKING:
    from workbench.study.config.study import Study


def values(study: Study, key: str) -> tuple[Value, ...]:
    """What a setting may be, if that is not a range."""
    value = study.settings[key]
    if isinstance(value, Choice):
        return value.choices
    return () if isinstance(value, Range) else (value,)


def numbers(study: Study, key: str) -> list[float]:
    """The numbers between which a setting lies."""
    value = study.settings[key]
    return [value.low, value.high] if isinstance(value, Range) else [float(v) for v in values(study, key)]


def shown(study: Study, key: str) -> str:
    """`FILE: [model] family = "linear"`."""
    return f"{study.path}: {label(where(key).path)} = {toml(written(key, study.settings[key]))}"


def offence(study: Study, key: str, value: Value) -> str:
    """`FILE: [model] family = "linear"`, or the axis with the choice that offends."""
    if study.settings[key] == value:
        return shown(study, key)
    return f"{shown(study, key)} reaches {toml(written(key, value))}, which"


def listed(names: Iterable[object]) -> str:
    """The names, joined by `or`."""
    return " or ".join(toml(name) for name in names)
