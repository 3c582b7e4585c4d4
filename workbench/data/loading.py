"""From a study's `[data]` table to development rows and a sealed test set, and on to arrays for training.

dataset, sealed = load(spec)
fold, preprocessor = prepare(dataset, scale="standardize")
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
import pandas as pd
import pyarrow as pa

from workbench.core.errors import DataError
from workbench.core.target_transform import AS_IT_IS, Transform, fit_transform, transformed
from workbench.core.types import Array, DataSpec, Examples, Fold
from workbench.data import fingerprints, preprocessing, seal
from workbench.data.dataset import Dataset, named_outputs
from workbench.data.division import Division, divide
from workbench.data.labels import check_taught
from workbench.data.preprocessing import Preprocessor
from workbench.data.preprocessing.channels import pixels_of
from workbench.data.preprocessing.features import Encoding
from workbench.data.preprocessing.kinds import infer
from workbench.data.preprocessing.tables import Column, conform
from workbench.data.raw import Source, take
from workbench.data.seal import SealedTest
from workbench.data.sources import read
from workbench.data.targets import classes_of, encode_rows, known, target_columns


def load(spec: DataSpec, sealed: SealedTest | None = None) -> tuple[Dataset, SealedTest]:
    """Development rows, and a promise of the test rows.

    The rows are divided first; kinds of columns, blanks and classes are inferred from development rows alone.
    An official test file is read once, to be sealed. A seal made earlier may be given: then an official file
    is not read and may be absent. Raises DataError, also if the test rows are not those of the seal.
    """
    source = read(spec)
    division = divide(source, spec)
    dataset = _development(source, division, spec)
    if sealed is None or not source.official:
        made, said = seal.promise(source, division, dataset)
        dataset = replace(dataset, overlap=said)
        if sealed is not None and sealed.fingerprint != made.fingerprint:
            raise seal.changed(source.name, sealed)
        sealed = made
    return replace(dataset, test_rows=sealed.rows), sealed


def prepare(
    dataset: Dataset,
    *,
    scale: str = "standardize",
    degree: int = 1,
    class_weight: Literal["none", "balanced"] = "none",
    numbers: str = "plain",
    bins: int = 0,
    rare: int | None = None,
    target_transform: str = "none",
    room: tuple[int, int] = (0, 0),
    compact: bool = False,
) -> tuple[Fold, Preprocessor]:
    """Arrays for training, and the preprocessor they went through, fitted on training rows.

    class_weight   "balanced" weighs a training row by N / (classes * rows of its class), so that weights sum
                   to N and all classes count alike; validation rows do not heed it. Not for targets of steps.
                   Beside weights of rows it is a factor, and rows of a class are counted by them
    rare, degree   see `preprocessing.fit`
    numbers, bins  plain, or how numbers are encoded and in how many bins at most: see `preprocessing.bins`;
                   its trees see targets as a model is trained on them
    room           training and validation rows to fill up to, by rows of weight zero
    compact        images that are bytes stay bytes: see `types.Pixels`

    Regression is transformed, then shifted and scaled by mean and standard deviation of training targets, as
    they are weighed: see `target_transform`. Of features, neither scales nor bins look at weights.
    Raises DataError, also if the logarithm of a negative target is asked for.
    """
    train, validation = dataset.pick(dataset.train), dataset.pick(dataset.validation)
    y = dataset.target[dataset.train]
    own = dataset.weights(dataset.train)
    seen, weight = y, np.ones(len(y), np.float32) if own is None else own
    shift, factor, transform = np.zeros(1, np.float32), np.ones(1, np.float32), AS_IT_IS
    if dataset.task != "regression":
        n = len(dataset.classes or dataset.outputs)
        shift, factor = np.zeros(n, np.float32), np.ones(n, np.float32)
        if class_weight == "balanced":
            counts = np.bincount(y, weights=own, minlength=len(dataset.classes))
            balance = counts.sum() / (np.count_nonzero(counts) * np.where(counts > 0, counts, 1)[y])
            weight = weight * balance.astype(np.float32)
    else:
        transform = _transform(dataset, target_transform)
        wide = transformed(known(y).astype(np.float64), transform)
        if own is None:
            shift, deviation = wide.mean(axis=0), wide.std(axis=0)
        else:
            shift = np.average(wide, axis=0, weights=own)
            deviation = np.sqrt(np.average((wide - shift) ** 2, axis=0, weights=own))
        shift, deviation = shift.astype(np.float32), deviation.astype(np.float32)
        factor = np.where(deviation > 0, deviation, np.float32(1))
        seen = (wide - shift) / factor
    fitted = preprocessing.fit(
        train,
        dataset.columns,
        scale,
        degree=degree,
        encoding=Encoding(numbers, bins, seen),
        rare=rare,
        where=dataset.name,
    )
    judging = dataset.weights(dataset.validation)
    judging = np.ones(len(dataset.validation), np.float32) if judging is None else judging
    pixels = pixels_of(train, fitted.scaling) if compact and isinstance(train, np.ndarray) else None
    inputs = [rows if pixels else fitted.transform(rows) for rows in (train, validation)]
    fold = Fold(
        train=_filled(Examples(inputs[0], y, weight), room[0]),
        validation=_filled(Examples(inputs[1], dataset.target[dataset.validation], judging), room[1]),
        shift=shift,
        scale=factor,
        transform=transform,
        pixels=pixels,
    )
    return fold, fitted


def _transform(dataset: Dataset, kind: str) -> Transform:
    """Fitted on training targets; that the logarithm exists is asked of all development targets."""
    if kind == "log" and (known(dataset.target) < 0).any():
        least = known(dataset.target).min(axis=0)
        name = dataset.targets[int(least.argmin())] if len(dataset.targets) > 1 else dataset.target_name
        raise DataError(
            f'{dataset.name}: [data] target_transform = "log" needs targets of at least 0, but '
            f'{name} is {least.min():g} in some row; write "quantile"'
        )
    return fit_transform(kind, known(dataset.target[dataset.train]))


def _filled(examples: Examples, room: int) -> Examples:
    """At least so many rows: those that are added weigh nothing."""
    more = max(0, room - len(examples.x))
    return Examples(*(np.pad(each, [(0, more)] + [(0, 0)] * (each.ndim - 1)) for each in examples))


def _development(source: Source, division: Division, spec: DataSpec) -> Dataset:
    """Everything that is inferred; it gets development rows and nothing else."""
    index = np.sort(np.concatenate([division.train, division.validation]))
    found = take(source, index)
    where = source.name
    rows: pd.DataFrame | Array
    columns: tuple[Column, ...] = ()
    remarks: tuple[str, ...] = ()
    if isinstance(found.rows, pa.Table):
        chosen = found.rows.select(_features(found.rows.column_names, spec, division.targets))
        columns, remarks = infer(
            chosen,
            where,
            categorical=spec.categorical,
            keep_constant=source.complete,
            written=division.written,
            places=index,
        )
        rows, unread = conform(chosen, columns, where, same=True, places=index)
        remarks += unread
    else:
        rows = found.rows
    classes: tuple[str, ...] = ()
    if division.task == "classification":
        classes = classes_of(target_columns(found, division.targets)[0])[1]
    target = encode_rows(found, division.targets, division.task, classes, forms=division.forms, places=index)
    train, validation = np.searchsorted(index, division.train), np.searchsorted(index, division.validation)
    if division.task == "multilabel" and target.ndim == 2:
        check_taught(target, train, named_outputs(division.targets, target.shape[1]), where)
    weights = () if division.weight is None else (division.weight[index],)
    return Dataset(
        name=where,
        spec=spec,
        task=division.task,
        targets=division.targets,
        columns=columns,
        rows=rows,
        target=target,
        classes=classes,
        forms=division.forms,
        train=train,
        validation=validation,
        fingerprint=fingerprints.of_rows(rows, target, train, validation, classes, *weights),
        notes=(*source.notes, *division.remarks, *remarks),
        group=None if division.group is None else division.group[index],
        time=None if division.time is None else division.time[index],
        content=None if division.content is None else division.content[index],
        test_content=None if division.content is None else division.content[division.test],
        weight=weights[0] if weights else None,
    )


def _features(columns: list[str], spec: DataSpec, targets: tuple[str, ...]) -> list[str]:
    """The columns to learn from; those that divide the rows only if they are named as features."""
    if spec.features is not None:
        return list(spec.features)
    left_out = {*targets, spec.group, spec.time, spec.weight, *spec.drop}
    names = [name for name in columns if name not in left_out]
    if not names:
        raise DataError(f"{spec.source}: [data] drop leaves no column to predict from; drop fewer")
    return names
