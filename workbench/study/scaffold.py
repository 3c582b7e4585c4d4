"""`new`: a study file for somebody's own data, with a comment for everything that was assumed.

What the columns are is inferred as a study infers it, from development rows. The budget follows the number of
rows, so that a first run takes minutes: small data get more epochs, more trials and smaller models.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from jinja2 import Environment, PackageLoader, StrictUndefined

from workbench import data
from workbench.core.errors import DataError, InputError, StudyError
from workbench.core.files import write_text
from workbench.core.formatting import nearest, toml
from workbench.core.types import Array, DataSpec
from workbench.data import Dataset
from workbench.data.defined import undefined
from workbench.data.leakage import roles
from workbench.data.leakage.giveaways import giveaways
from workbench.data.preprocessing.kinds import free_text
from workbench.data.raw import Source
from workbench.data.sources import read
from workbench.data.targets import known
from workbench.study.config import Study, check_fit
from workbench.study.config.reading import study_of

#: A class with less than this share of the rows, and less than half of an even share, is rare: accuracy says
#: little then.
RARE_CLASS = 0.1
#: So many whole numbers in a row may be grades.
LEAST_GRADES = 5
#: Third moment over the cube of the deviation, from which numbers are called skewed.
SKEWED = 2.0


class _Size(NamedTuple):
    """What suits data of up to so many training rows."""

    rows: float
    depths: tuple[int, ...]
    widths: tuple[int, int]
    batches: tuple[int, ...]
    rates: tuple[float, float]
    l2: tuple[float, float]
    trials: int
    seeds: int


class Proposal(NamedTuple):
    """A study file that was not written yet."""

    text: str
    dataset: Dataset
    assumptions: list[str]


#: Trial 0 is in the middle of each range and first of the choices. For few rows that is one hidden layer, a
#: high rate and a large penalty, the best on average in sweeps of single settings over five small tables.
SIZES = (
    _Size(1_000, (1, 2, 3), (16, 256), (32, 16), (3e-3, 5e-2), (1e-4, 1.0), 100, 5),
    _Size(5_000, (2, 1, 3), (32, 256), (64, 32), (1e-3, 3e-2), (1e-5, 1e-1), 80, 5),
    _Size(30_000, (2, 1, 3), (64, 256), (128, 256), (5e-4, 2e-2), (1e-7, 1e-2), 60, 3),
    _Size(200_000, (2, 1, 3), (64, 256), (256, 512), (5e-4, 2e-2), (1e-7, 1e-2), 40, 3),
    _Size(math.inf, (2, 1, 3), (64, 256), (1024, 2048), (5e-4, 2e-2), (1e-7, 1e-2), 20, 3),
)
#: Training rows from which on numbers are tried in bins as well, and are shown so first.
ENCODED = (1_000, 4_000)
#: Steps that a trial may take, and the fewest and most epochs that these may be.
STEPS, FEWEST_EPOCHS, MOST_EPOCHS = 10_000, 10, 200
#: Of fewer validation rows a share of right answers is too coarse to tell trials apart.
FINE = 1_000


def new(source: Path, target: str | None, output: Path | None = None) -> dict[str, Any]:
    """Write a study file for a data file, and say what was assumed.

    target  the column to predict, or several with commas between them; an archive's is y
    output  the study file; by default beside the data, of the same name

    Raises InputError: DataError for data that cannot be used, StudyError if the study file is there already.
    """
    output = source.with_suffix(".toml") if output is None else output
    if output.exists():
        raise StudyError(f"{output}: is there already and is left as it is; name another by -o")
    if not output.absolute().parent.is_dir():
        raise StudyError(f"{output}: the folder {output.parent} does not exist; make it first")
    proposal = propose(DataSpec(source=source.name, folder=source.parent, target=target), output)
    dataset, study = proposal.dataset, _sound(proposal, output)
    try:
        write_text(output, proposal.text)
    except OSError as error:
        raise InputError(
            f"{output}: cannot be written ({error.strerror or error}); name another by -o"
        ) from error
    return {
        "study": str(output),
        "name": study.name,
        "task": dataset.task,
        "target": dataset.target_name,
        "rows": len(dataset.target),
        "columns": {column.name: column.kind for column in dataset.columns},
        "metric": study.metric,
        "trials": study.search.trials,
        "assumptions": proposal.assumptions,
    }


def propose(spec: DataSpec, output: Path, name: str | None = None) -> Proposal:
    """A study file for these data, to stand at `output`; nothing is written.

    spec  source and target; what it says of drop, group and time beside them is kept
    name  of the study; None: that of the file

    Raises DataError for data that cannot be used.
    """
    dataset, remarks = _understood(spec)
    source = path_from(spec.folder / spec.source, output)
    facts = _facts(dataset) | {"name": name or slug(output.stem), "source": source}
    text = _TEMPLATES.get_template("study.toml").render(facts, toml=toml)
    return Proposal(text, dataset, [*remarks, *_said(facts), *dataset.notes])


def _sound(proposal: Proposal, path: Path) -> Study:
    """The study that is to be written, which `check` must not refuse.

    Raises DataError: what `check` would say.
    """
    dataset = proposal.dataset
    try:
        study = study_of(proposal.text, path)
        classes, rows = len(dataset.classes), data.fewest_train_rows(dataset)
        shape, of_steps = dataset.input_shape, dataset.of_steps
        check_fit(study, dataset.task, classes, shape, train_rows=rows, of_steps=of_steps)
    except InputError as error:
        raise DataError(
            f"{dataset.name}: no study was written, because it could not be run: {error}"
        ) from error
    return study


def _understood(spec: DataSpec) -> tuple[Dataset, list[str]]:
    """The data as a study would load them, without what cannot be learned from."""
    found = read(spec)
    remarks = []
    if isinstance(found.rows, pa.Table):
        names = found.rows.column_names
        if spec.target is None:
            listed = ", ".join(names)
            raise DataError(f"{spec.source}: --target is missing; name the column to predict: {listed}")
        spec = replace(spec, target=_apart(spec.target, names))
        for target in spec.target_names:
            if target not in names:
                close = nearest(target, names)
                remedy = (
                    f"did you mean {toml(close)}?" if close else f"the columns are {', '.join(names[:12])}"
                )
                raise DataError(f"{spec.source}: --target = {toml(target)} is not a column; {remedy}")
        text = free_text(found.rows.drop_columns(list(spec.target_names)))
        if text:
            remarks.append(f"left out, because it is free text: {', '.join(text)}")
        if found.left_out:
            remarks.append(f"left out, not being numbers, text or dates: {', '.join(found.left_out)}")
        odd = (name for name in (*text, *found.left_out) if name not in spec.drop)
        spec = replace(spec, drop=(*spec.drop, *odd))
    dataset, _ = data.load(spec)
    _not_images(dataset, found)
    if spec.task is None and _labelled(dataset):
        spec = replace(spec, task="multilabel")
        dataset, _ = data.load(spec)
        remarks.append(
            f"{dataset.target_name} holds {len(dataset.outputs)} columns of zeros and ones, which are taken "
            'for labels; write task = "regression" if they are amounts'
        )
    if _graded(dataset):
        spec = replace(spec, task="regression")
        remarks.append(
            f"{dataset.target_name} holds grades, {dataset.classes[0]} to {dataset.classes[-1]}, and is "
            'predicted as a number; write task = "classification" if they are only names'
        )
    for name, what in roles.identifiers(dataset) if isinstance(found.rows, pa.Table) else ():
        remarks.append(f"left out: {name} {what}")
        spec = replace(spec, drop=(*spec.drop, name))
    remarks += [
        f"look at {name}: it alone predicts {dataset.target_name} almost perfectly; if it is not known when "
        "the model is used, add it to drop"
        for name in giveaways(dataset)
    ]
    groups, times = [name for name, _ in roles.groups(dataset)], roles.times(dataset)
    whose = [name for name in groups if roles.names_who(name)]
    remarks += [
        f"rows of the same {name} are taken as independent; if the model is for new ones, write group = "
        f"{toml(name)}"
        for name in groups
        if name not in whose
    ]
    ways = [replace(spec, group=name) for name in whose]
    ways += [_in_time(spec, dataset, name) for name, *_ in times if not whose]
    if spec.group or spec.time:  # it was said how
        ways = []
    for way in ways:
        try:
            return data.load(way)[0], remarks
        except DataError as error:  # a blank somewhere, or too few groups for three parts
            remarks.append(f"not divided by {way.group or way.time}: {error}")
    return (dataset if spec == dataset.spec else data.load(spec)[0]), remarks


def _apart(target: str | tuple[str, ...], columns: Collection[str]) -> str | tuple[str, ...]:
    """The columns that a text names with commas between them, if it is not the name of one itself."""
    if not isinstance(target, str) or target in columns or "," not in target:
        return target
    names = tuple(dict.fromkeys(name for part in target.split(",") if (name := part.strip())))
    return names if len(names) > 1 else "".join(names)


def _in_time(spec: DataSpec, dataset: Dataset, name: str) -> DataSpec:
    """Divided by a column, which stays a feature if it holds dates: the season comes again."""
    kinds = {column.name: column.kind for column in dataset.columns}
    kept = tuple(column for column in kinds if column not in spec.drop)
    return replace(spec, time=name, features=kept if kinds[name] == "date" else None)


def _not_images(dataset: Dataset, found: Source) -> None:
    """Raises DataError for sequences with a target for every step whose lengths are missing."""
    if found.y is not None and found.y.ndim > 1 and len(dataset.input_shape) == 3:
        steps, n = dataset.input_shape[0], len(found.y)
        if found.y.shape[1] == steps:
            raise DataError(
                f"{dataset.name}: y has {steps} targets a row, and x {list(dataset.input_shape[:2])}; "
                "if they are sequences with a target for every step, add lengths, such as "
                f"numpy.full({n}, {steps})"
            )


def _labelled(dataset: Dataset) -> bool:
    """Whether several columns of an archive's targets hold nothing but zeros and ones."""
    if dataset.task != "regression" or len(dataset.outputs) < 2:
        return False
    return bool(np.isin(known(dataset.target), (0, 1)).all())


def _graded(dataset: Dataset) -> bool:
    """Whether classes are grades in order: whole numbers without a gap, of which the middle ones are common.

    Numbers that only name classes have no reason to be rare at both ends and to have one peak between.
    """
    if len(dataset.classes) < LEAST_GRADES or dataset.of_steps:
        return False
    try:
        grades = [int(name) for name in dataset.classes]
    except ValueError:
        return False
    counts = np.bincount(dataset.target)
    peak = int(counts.argmax())
    one_peak = (np.diff(counts[: peak + 1]) >= 0).all() and (np.diff(counts[peak:]) <= 0).all()
    rare = max(counts[0], counts[-1]) < 0.5 * counts.mean()
    return bool(one_peak and rare and grades[-1] - grades[0] == len(grades) - 1)


def _facts(dataset: Dataset) -> dict[str, Any]:
    """What the template is filled with."""
    rows = len(dataset.train)
    size = next(size for size in SIZES if rows <= size.rows)
    size = size._replace(batches=tuple(batch for batch in size.batches if batch <= rows) or (rows,))
    rank = len(dataset.input_shape)
    classes = len(dataset.classes)
    counts = np.bincount(dataset.target.ravel().clip(0), minlength=classes) if classes else np.zeros(0)
    least = counts.min() / counts.sum() if classes else 1.0
    uneven = bool(least < RARE_CLASS and least < 0.5 / classes)
    batches: list[int | str] = [batch for batch in size.batches if 2 * batch <= rows] or ["all"]
    epochs = _epochs(rows, batches[0])
    metric, why = _metric(dataset, uneven=uneven)
    return {
        "data": dataset,
        "spec": dataset.spec,
        "size": size,
        "rows": rows,
        "families": _families(dataset),
        "metric": metric,
        "why": why,
        "uneven": uneven,
        "skewed": _skewed(dataset),
        "numbers": _numbers(dataset, rows),
        "norms": _norms(dataset, rows),
        "straightened": _straightened(dataset),
        "kinds": _kinds(dataset),
        "batches": batches,
        "epochs": epochs,
        "patience": max(5, epochs // 5),
        "each": dataset.of_steps,
        "series": rank == 2,
        "blocks": _blocks(dataset.input_shape),
    }


def _families(dataset: Dataset) -> list[str]:
    """What is tried on rows of this shape, the likelier first.

    Of shapes that lie anywhere in noisy series of 48 to 96 steps, 540 rows and 20 epochs, a cnn with global
    pooling had a validation log loss of 0.038, a gru of 0.079 and an lstm of 0.205. A recurrent net is for
    what depends on a long order.
    """
    if dataset.of_steps:
        return ["gru", "lstm"]
    return {1: ["mlp"], 2: ["cnn", "gru"], 3: ["cnn"]}[len(dataset.input_shape)]


def _blocks(shape: tuple[int, ...]) -> list[int]:
    """Blocks of a convolution that leave enough of an image, or of a series, the likelier first."""
    if len(shape) == 2:
        return [blocks for blocks in (3, 2, 1) if shape[0] >= 4**blocks]
    return [blocks for blocks in (1, 2) if min(shape[:2], default=0) >= 4**blocks]


def _metric(dataset: Dataset, *, uneven: bool) -> tuple[str, str]:
    """What tells trials apart, and has a value on validation and test rows; and why it is not the usual."""
    if dataset.task == "multilabel":
        return ("nll", ", summed over labels") if dataset.of_steps else ("log_loss", ", the mean over labels")
    if not dataset.classes:
        if len(dataset.outputs) == 1:
            return "rmse", ""
        return "r2", f", the mean over the {len(dataset.outputs)} targets, whatever their units"
    n = len(dataset.validation)
    balanced = "roc_auc" if len(dataset.classes) == 2 else "balanced_accuracy"
    metric = balanced if uneven else "log_loss" if n < FINE else "accuracy"
    without = {
        "validation": undefined(dataset.target[dataset.validation], dataset.classes),
        "test": data.load(dataset.spec)[1].undefined,
    }
    for part, why in ((part, found[metric]) for part, found in without.items() if metric in found):
        return "accuracy", f", since {metric} has no value on its {part} rows: {why}"
    few = f", since {n} validation rows are few to tell trials apart by accuracy"
    return metric, few if metric == "log_loss" else ""


def _epochs(rows: int, batch: int | str) -> int:
    """As many as make about `STEPS` steps, in two digits."""
    steps = -(-rows // batch) if isinstance(batch, int) else 1
    wanted = min(MOST_EPOCHS, max(FEWEST_EPOCHS, STEPS / steps))
    return int(float(f"{wanted:.2g}"))


def _said(facts: Mapping[str, Any]) -> list[str]:
    """The assumptions as sentences."""
    dataset, spec = facts["data"], facts["spec"]
    judged = f"judged by {facts['metric']}{facts['why']}"
    verb = "are" if len(dataset.targets) > 1 else "is"
    said = [f"{dataset.target_name} {verb} predicted: {dataset.task}, {judged}"]
    if facts["kinds"]:
        said.append(f"columns: {facts['kinds']}")
    if facts["straightened"]:
        tried = f"as it is and by {facts['straightened']}"
        said.append(f"{dataset.target_name} has a long tail: the search tries it {tried}")
    if dataset.of_steps:
        said.append(
            "every step is predicted from the steps up to it, and from later ones as well where the search "
            "finds that better; write bidirectional = false if later ones are not known in time"
        )
    if spec.group:
        said.append(f"rows of the same {spec.group} stay together in the split")
    if spec.time:
        said.append(f"rows are split by {spec.time}: the model is judged on later rows than it learns from")
    return said


def _kinds(dataset: Dataset) -> str:
    """Such as `8 numeric, 1 category`."""
    kinds = [column.kind for column in dataset.columns]
    return ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))


def _skewed(dataset: Dataset) -> bool:
    """Whether numbers among the columns have a long tail, which ranks them better than a straight scale."""
    columns = (column.name for column in dataset.columns if column.kind == "numeric")
    return any(_long_tail(np.asarray(dataset.rows[name], np.float64)) for name in columns)


def _numbers(dataset: Dataset, rows: int) -> list[str]:
    """How numbers are shown to the model, the better way first; of few rows it is not asked.

    Bins that tell the target took 4 to 43 % off the test error on each of four tables of 8,000 rows and more
    (Gorishniy et al. 2022, arXiv:2203.05556, found the same); few rows make few bins.
    """
    kinds = {column.kind for column in dataset.columns} & {"numeric", "date"}
    if not kinds or len(dataset.input_shape) > 1 or rows < ENCODED[0]:
        return []
    return ["piecewise_tree", "plain"] if rows >= ENCODED[1] else ["plain", "piecewise_tree"]


def _norms(dataset: Dataset, rows: int) -> list[str]:
    """Whether layers are normalized, the better way first; of few rows it is not asked.

    It took 1 to 7 % off the validation error of numbers on two tables of 8,000 rows and more, nothing off
    that of classes on one, and added to it on another.
    """
    if rows < ENCODED[1]:
        return []
    return ["layer", "none"] if dataset.task == "regression" else ["none", "layer"]


def _straightened(dataset: Dataset) -> str | None:
    """What would straighten a target with a long tail; None for one that has none."""
    if dataset.task != "regression":
        return None
    targets = known(dataset.target).astype(np.float64)
    if not any(_long_tail(column) for column in targets.T):
        return None
    return "log" if targets.min() >= 0 else "quantile"


def _long_tail(values: Array) -> bool:
    values = values[np.isfinite(values)]
    deviation = values.std() if len(values) else 0.0
    return bool(deviation > 0 and abs(np.mean(((values - values.mean()) / deviation) ** 3)) > SKEWED)


def slug(stem: str) -> str:
    """A name for a study."""
    name = re.sub(r"[^a-z0-9._-]+", "-", stem.lower()).strip("-._")
    return name[:100] or "study"


def path_from(source: Path, output: Path) -> str:
    """The data file as the study file names it: relative to its own folder."""
    return Path(os.path.relpath(source.absolute(), output.absolute().parent)).as_posix()


_TEMPLATES = Environment(
    loader=PackageLoader("workbench.study"),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)
