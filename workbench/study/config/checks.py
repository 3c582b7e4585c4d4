"""What no single key can say: keys that must agree with each other, and with the data.

`check_file` needs the study alone, `check_fit` the shape of its data as well; both raise StudyError with one
sentence, the first that the functions below find. `notes` are remarks, none of which forbids a study.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, cast

from workbench.core import conditions, vocabulary
from workbench.core.errors import StudyError
from workbench.core.formatting import toml
from workbench.core.types import Choice, Range, Task, Value
from workbench.study.config.errors import label, unlike
from workbench.study.config.kinds import listed
from workbench.study.config.optimizer_checks import optimizer_complaints, optimizer_notes
from workbench.study.config.schema import SETTINGS, where
from workbench.study.config.text import numbers, offence, shown, values

if TYPE_CHECKING:
    from workbench.study.config.study import Study

#: What families read that do not read rows of numbers, by the rank of an example.
_EXAMPLES = {2: "sequences [T, F]", 3: "images [H, W, C]"}
#: More polynomial features than this do not fit a program.
MAX_FEATURES = 20_000


def metric_of(study: Study, task: Task) -> str:
    """The metric that decides: the study's own, or the usual one of the task or quantile."""
    usual = {"classification": "accuracy", "regression": "rmse", "multilabel": "log_loss"}[task]
    if task == "regression" and isinstance(study.data.target, tuple):  # of units, the largest would decide
        usual = "r2"
    if task == "multilabel" and "each" in values(study, "output"):
        usual = "nll"
    if task == "regression" and study.settings["loss"] == vocabulary.PINBALL:
        usual = vocabulary.PINBALL
    return _at_quantile(study, study.metric or usual)


def also_of(study: Study, metric: str) -> tuple[str, ...]:
    """The metrics that are recorded beside the one that decides, which is recorded anyway."""
    return tuple(name for each in study.also if (name := _at_quantile(study, each)) != metric)


def _at_quantile(study: Study, metric: str) -> str:
    if metric == vocabulary.PINBALL:
        return vocabulary.pinball(float(cast("float", study.settings["quantile"])))
    return metric


def check_testable(study: Study, test_rows: int | None = None) -> None:
    """Raises StudyError if a study has no test rows, which is for searches alone.

    test_rows  how many there are; None: as far as the file says
    """
    data, split = study.data, study.data.split
    if test_rows is None:
        archive = data.source.endswith(".npz")  # may hold official test rows of its own
        test_rows = int(data.test is not None or split.test > 0.0 or archive)
    if not test_rows:
        raise StudyError(
            f"{study.path}: [data] split = {toml(split._asdict())} leaves no test rows; give test a share, "
            'or name an official file: test = "..."; without, it can be searched: --search-only'
        )


def check_file(study: Study) -> None:
    """Raises StudyError if keys of the file contradict each other."""
    _refuse(study, _of_split(study))
    _refuse(study, _of_columns(study))
    _refuse(study, optimizer_complaints(study))
    _refuse(study, _of_settings(study))
    _refuse(study, _of_start(study))


def check_fit(
    study: Study,
    task: Task,
    n_classes: int,
    input_shape: tuple[int, ...],
    *,
    train_rows: int | None = None,
    of_steps: bool = False,
) -> None:
    """Whether the data can give what the study asks for.

    Args:
        study: what is asked.
        task: of the data.
        n_classes: 0 for regression.
        input_shape: *F of one example, before polynomial features.
        train_rows: None: not known.
        of_steps: every step of a sequence has a target of its own.

    Raises:
        StudyError: if they cannot.
    """
    what = {"regression": "a regression target", "multilabel": "several labels a row"}.get(
        task, f"a target of {n_classes} classes"
    )
    kinds: set[str] = {task, "binary"} if n_classes == 2 else {task}
    has = f"but {study.data.source} has {what}"
    _refuse(study, _of_families(study, kinds, has, input_shape))
    _refuse(study, _of_steps(study, of_steps))
    _refuse(study, _of_task(study, task, kinds, has, input_shape))
    _refuse(study, _of_size(study, input_shape, train_rows))


def notes(study: Study) -> tuple[str, ...]:
    """Remarks on what is written but not read, and the like; none of them forbids the study."""
    idle = idle_axes(study)
    remarks = list(idle.values())
    families = [str(family) for family in values(study, "family")]
    shaping = {key for family in vocabulary.FAMILIES.values() for key in family.shaped_by}
    reads = {key for family in families for key in vocabulary.FAMILIES[family].shaped_by}
    for key, value in study.settings.items():
        if value == where(key).default or key not in shaping or key in idle:
            continue
        place = label(SETTINGS[key].path)
        if key not in reads:
            remarks.append(f"{place} is not read by family {listed(families)}")
        elif key in study.axes and not study.axes[key].when and len(families) > 1:
            remarks += _of_some(place, key, families)
    remarks += optimizer_notes(study)
    asked = vocabulary.PINBALL in (study.metric, *values(study, "loss"))
    if study.settings["quantile"] != SETTINGS["quantile"].default and not asked:
        remarks.append("[training] quantile is read by the loss and the metric pinball alone")
    if values(study, "loss") == (vocabulary.PINBALL,) and study.metric not in (None, vocabulary.PINBALL):
        remarks.append(
            f"trials learn a quantile, but [select] metric = {toml(study.metric)} judges them by another aim"
        )
    drawn = {"uniform", "normal"} & set(values(study, "initializer"))
    if study.settings["init_scale"] != SETTINGS["init_scale"].default and not drawn:
        remarks.append("[model] init_scale is read by the initializers uniform and normal alone")
    if study.settings["bins"] != SETTINGS["bins"].default and values(study, "numbers") == ("plain",):
        remarks.append("[data] bins is read where numbers are piecewise alone")
    embedded = set(values(study, "embedding")) - {"none"}
    remarks += [
        f"[model] {key} is read by the embeddings periodic and pbld alone"
        for key in ("frequencies", "sigma")
        if study.settings[key] != SETTINGS[key].default and not embedded
    ]
    if embedded and "plain" not in values(study, "numbers"):
        remarks.append("[model] embedding is not read where [data] numbers are piecewise")
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


def idle_axes(study: Study) -> dict[str, str]:
    """Axes at which no configuration of the study looks, and a remark on each."""
    base = {key: conditions.widened(value) for key, value in study.settings.items()}
    fixed = {
        key: value.high if isinstance(value, Range) else values(study, key)[0] for key, value in base.items()
    }
    remarks = {}
    for key, axis in study.settings.items():
        if not isinstance(axis, Range | Choice):
            continue
        place = label(where(key).path)
        if key not in study.axes:
            asked = conditions.asked(axis.when)
            remarks[key] = f"{place} never takes part: its condition, {asked}, is met by no configuration"
        elif not any(vocabulary.reads({**fixed, **others}, key) for others in _readers(study)):
            remarks[key] = f"{place} is an axis without effect: no configuration looks at it; take it out"
    return remarks


def _readers(study: Study) -> Iterator[dict[str, Value]]:
    """Settings by which configurations look at others, each family with each value of one other."""
    for family in values(study, "family"):
        yield {"family": family}
        for key in vocabulary.READING:
            yield from ({"family": family, key: value} for value in values(study, key))


def _of_some(place: str, key: str, families: list[str]) -> Iterator[str]:
    """That only some of the families read an axis."""
    readers = [family for family in families if key in vocabulary.FAMILIES[family].shaped_by]
    if len(readers) < len(families):
        wanted = toml(readers[0] if len(readers) == 1 else readers)
        yield (
            f"{place} is searched for every family, and read by {listed(readers)} alone; "
            f"if = {{ family = {wanted} }} in its table leaves it out of the other trials"
        )


def _refuse(study: Study, complaints: Iterable[str]) -> None:
    """Raises StudyError with the first complaint, if there is one; the others are not looked for."""
    for said in complaints:
        raise StudyError(f"{study.path}: {said}")


def _of_start(study: Study) -> Iterator[str]:
    from workbench.tuning.space import completed, on_axis

    for i, one in enumerate(study.search.start or (), 1):
        begun = completed(study.axes, one)
        for key, value in one.items():
            place = f"[search] start: {key} = {toml(value)}, in configuration {i},"
            if key not in study.axes:
                fixed = f"is fixed at {toml(study.settings[key])}" if key in study.settings else "is no key"
                yield f"{place} {fixed}; " + unlike(key, tuple(study.axes), "drop it")
            elif on_axis(study.axes[key], value) is None:
                yield f"{place} is not on its axis, {toml(study.axes[key])}; choose a value on it"
            elif key not in begun:
                asked = conditions.asked(study.axes[key].when)
                yield f"{place} takes part if {asked} alone; say that as well, or drop it"


# ── the file alone ──────────────────────────────────────────────────────────────────────────────


def _of_split(study: Study) -> Iterator[str]:
    data, split = study.data, study.data.split
    place = f"[data] split = {toml(split._asdict())}"
    total = math.fsum(split)
    if abs(total - 1.0) > 1e-6:
        yield f"{place} sums to {total:.6g}; the fractions must sum to 1"
    if data.test is not None and split.test > 0.0:
        yield (
            f"{place} takes test rows beside the official file {toml(data.test)}; write test = 0 and "
            "let train and validation sum to 1"
        )


def _of_columns(study: Study) -> Iterator[str]:
    data = study.data
    for key in ("features", "drop", "categorical"):
        for target in data.target_names:
            if target in (getattr(data, key) or ()):
                yield f"[data] {key} names the target {toml(target)}; drop it from {key}"
    for column in data.features or ():
        if column in data.drop:
            yield f"[data] features and drop both name {toml(column)}; drop it from one"
    for key in ("group", "time", "weight"):
        column = getattr(data, key)
        if column in data.target_names:
            yield f"[data] {key} = {toml(column)} is the target; name another column"
    for key in ("features", "categorical"):
        if data.weight is not None and data.weight in (getattr(data, key) or ()):
            yield f"[data] {key} names the weight {toml(data.weight)}, no feature; drop it from {key}"
    if data.folds and data.holdouts:
        yield "[data] folds and holdouts exclude each other; drop one"
    if data.time and data.holdouts:
        yield (
            f"[data] holdouts = {data.holdouts} shuffles rows that [data] time = {toml(data.time)} "
            "keeps in their order; write folds instead"
        )


def _of_settings(study: Study) -> Iterator[str]:
    task, metric = study.data.task, study.metric
    if task and metric:
        possible = {"classification", "binary"} if task == "classification" else {task}
        fitting = [name for name, known in vocabulary.METRICS.items() if known.suits(possible)]
        if metric not in fitting:
            yield (
                f"[select] metric = {toml(metric)} is for {_task(vocabulary.METRICS[metric].task)}, but "
                f"[data] task = {toml(task)}; choose {listed(fitting)}"
            )
    for key in ("depth", "width", "taper") if study.settings["widths"] != "" else ():
        if study.settings[key] != SETTINGS[key].default:
            yield (
                f"{shown(study, key)} stands beside widths, which say how many layers there are and how wide "
                "each is; drop one of the two"
            )
    hidden = [family for family in values(study, "family") if vocabulary.FAMILIES[str(family)].hidden]
    if hidden and "zeros" in values(study, "initializer"):
        yield (
            f"{shown(study, 'initializer')} starts all hidden units alike, so family {toml(hidden[0])} "
            'cannot learn; write initializer = "auto"'
        )
    for key, axis in study.axes.items():
        endless = isinstance(axis, Range) and not axis.integer and axis.step is None
        if study.search.sampler_name in vocabulary.EXHAUSTIVE and endless:
            yield (
                f"{shown(study, key)} has no end of values, but [search] sampler = "
                f"{toml(study.search.sampler)} needs a finite axis; add step, write choices or take another "
                "sampler"
            )


# ── the file and its data ───────────────────────────────────────────────────────────────────────


def _of_families(study: Study, kinds: set[str], has: str, input_shape: tuple[int, ...]) -> Iterator[str]:
    for name in values(study, "family"):
        family = vocabulary.FAMILIES[str(name)]
        if not kinds & set(family.tasks):
            fitting = [name for name, other in vocabulary.FAMILIES.items() if kinds & set(other.tasks)]
            yield (
                f"{offence(study, 'family', name)} is for {_tasks(family.tasks)}, {has}; "
                f"choose {listed(fitting)}"
            )
        embedding = next((e for e in values(study, "embedding") if e != "none"), None)
        if embedding is not None and "embedding" in family.shaped_by and len(input_shape) > 1:
            yield (
                f"{offence(study, 'embedding', embedding)} is for rows of numbers, but an example of "
                f'{study.data.source} has the shape {list(input_shape)}; write embedding = "none"'
            )
        if not {1, len(input_shape)} & set(family.ranks):
            wanted = " or ".join(_EXAMPLES[rank] for rank in sorted(family.ranks))
            yield (
                f"{offence(study, 'family', name)} reads {wanted}, but an example of "
                f"{study.data.source} has the shape {list(input_shape)}; choose another family"
            )


def _of_steps(study: Study, of_steps: bool) -> Iterator[str]:
    """Outputs for every step belong to targets for every step, and to nothing else."""
    source, recurrent = (
        study.data.source,
        [n for n, f in vocabulary.FAMILIES.items() if "output" in f.shaped_by],
    )
    families = values(study, "family")
    if not of_steps:
        if set(families) & set(recurrent) and "each" in values(study, "output"):
            yield (
                f"{offence(study, 'output', 'each')} gives an output for every step, but {source} has one "
                'target for a sequence; write output = "last"'
            )
        return
    for family in families:
        if family not in recurrent:
            yield (
                f"{offence(study, 'family', family)} gives one output, but {source} has a target for every "
                f"step of a sequence; choose {listed(recurrent)}"
            )
    if values(study, "output") != ("each",):
        yield (
            f"{offence(study, 'output', 'last')} gives one output, but {source} has a target for every step "
            'of a sequence; write output = "each"'
        )
    if "balanced" in values(study, "class_weight"):
        yield (
            f"{offence(study, 'class_weight', 'balanced')} weighs rows by their class, but {source} has a "
            'target for every step of a sequence; write class_weight = "none"'
        )


def _of_task(
    study: Study, task: Task, kinds: set[str], has: str, input_shape: tuple[int, ...]
) -> Iterator[str]:
    for loss in values(study, "loss"):
        tasks = () if loss == "auto" else vocabulary.LOSSES[str(loss)]
        if tasks and not kinds & set(tasks):
            yield f'{offence(study, "loss", loss)} is for {_tasks(tasks)}, {has}; write loss = "auto"'
    metric = vocabulary.METRICS[metric_of(study, task)]
    if not metric.suits(kinds):
        fitting = listed([name for name, other in vocabulary.METRICS.items() if other.suits(kinds)])
        yield f"[select] metric = {toml(study.metric)} is for {_task(metric.task)}, {has}; choose {fitting}"
    yield from _of_goal(study, metric_of(study, task))
    for name in study.also:
        word = vocabulary.METRICS[name]
        if not word.suits(kinds):
            place = f"[select] also = {toml(study.also)} names {toml(name)}, which"
            fits = [one for one, other in vocabulary.METRICS.items() if other.suits(kinds)]
            yield f"{place} is for {_task(word.task)}, {has}; choose {listed(fits)}"
    of_one = {} if task == "classification" else {"class_weight": "none"}
    of_classes = {"label_smoothing": 0.0} if task == "regression" else {}
    of_numbers = {} if task == "regression" else {"target_transform": "none"}
    of_two = {} if {"binary", "multilabel"} & kinds else {"threshold": 0.5}
    for kind, own in (
        ("classes", {**of_one, **of_classes}),
        ("numbers", of_numbers),
        ("two classes, or labels", of_two),
    ):
        for key, off in own.items():
            if study.settings[key] != off:
                yield f"{shown(study, key)} is for {kind}, {has}; drop the key"
    for key in vocabulary.AUGMENTATIONS:
        if study.settings[key] != 0 and len(input_shape) != 3:
            yield (
                f"{shown(study, key)} is for images [H, W, C], but an example of {study.data.source} has "
                f"the shape {list(input_shape)}; drop the key"
            )
    if study.calibrate and task != "classification":
        yield f"[select] calibrate = true is for classes, {has}; drop the key"


def _of_goal(study: Study, metric: str) -> Iterator[str]:
    """A score to stop at that none can be."""
    goal, word = study.search.stop_at, study.metric or metric
    is_error = word in vocabulary.ERRORS or vocabulary.quantile_of(word) is not None
    if goal is not None and ((word in vocabulary.AT_MOST_1 and goal > 1) or (is_error and goal < 0)):
        limit = "at least 0" if is_error else "at most 1"
        said = f"[training] stop_at = {toml(goal)}"
        yield f"{said} is never reached, since {word} is {limit}; write another one"


def _of_size(study: Study, input_shape: tuple[int, ...], train_rows: int | None) -> Iterator[str]:
    largest = int(max(numbers(study, "batch_size")))
    if train_rows is not None and largest > train_rows:
        yield (
            f"{offence(study, 'batch_size', largest)} is more than the {train_rows} training "
            f'rows of {study.data.source}; take fewer, or "all"'
        )
    from workbench.tuning import samplers  # loads Optuna

    try:
        samplers.check(study.axes, study.search.sampler)
    except StudyError as error:
        yield str(error)
    for encoding in values(study, "numbers"):
        if encoding != "plain" and len(input_shape) > 1:
            yield (
                f"{offence(study, 'numbers', encoding)} encodes columns of numbers, but an example of "
                f'{study.data.source} has the shape {list(input_shape)}; write numbers = "plain"'
            )
    degree, n = int(max(numbers(study, "degree"))), math.prod(input_shape)
    made = math.comb(n + degree, degree)
    if made > MAX_FEATURES and degree > 1:
        yield (
            f"{offence(study, 'degree', degree)} makes {made:,} features of "
            f"{n}, more than {MAX_FEATURES:,}; lower it or name fewer [data] features"
        )


def _task(kind: str) -> str:
    words = {"binary": "two classes", "classification": "classes", "multilabel": "several labels"}
    return words.get(kind, kind)


def _tasks(kinds: Iterable[str]) -> str:
    return " and ".join(_task(kind) for kind in kinds)
