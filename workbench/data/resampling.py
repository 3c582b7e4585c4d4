"""Other divisions of the same development rows: k folds, and another hold-out for another seed.

Test rows are not among development rows, so they stay where they are, and so does their seal. What the study
says of classes, `group`, `time` and copies holds here as in the first division.

With `[data] folds` every trial of a study trains on all folds and is judged by the mean of their scores. With
`[data] holdouts` trials take turns at different hold-outs, so that no peculiarity of one decides the search
(Nagler, Schneider, Bischl and Feurer 2024, "Reshuffling resampling splits can improve generalization of
hyperparameter optimization").
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.core.errors import DataError
from workbench.core.formatting import toml
from workbench.core.types import Array, Split
from workbench.data import fingerprints
from workbench.data.labels import check_taught
from workbench.data.splits import folds, mixed, split_rows
from workbench.data.targets import known
from workbench.data.weights import check_parts

if TYPE_CHECKING:
    from workbench.data.dataset import Dataset

#: Streams of the order of rows: apart from the split's own, which has none, and from each other.
_FOLDS, _HOLDOUTS = 2**62, 2**62 + 1


def divisions(dataset: Dataset) -> tuple[Dataset, ...]:
    """What trials train on beside the split's own division: the study's folds, or its hold-outs; often none.

    Raises DataError if rows, classes or groups do not suffice, or hold-outs are asked for and `time` divides.
    """
    spec = dataset.spec
    seed = spec.seed if spec.split_rule == "rows" else spec.split_seed
    if spec.folds:
        return cross_validation(dataset, spec.folds, seed)
    return tuple(reshuffled(dataset, seed + number) for number in range(spec.holdouts))


def fewest_train_rows(dataset: Dataset) -> int:
    """Training rows of the smallest division. Raises DataError if the rows cannot be divided so."""
    return min(len(part.train) for part in (dataset, *divisions(dataset)))


def cross_validation(dataset: Dataset, k: int, seed: int) -> tuple[Dataset, ...]:
    """As many datasets as folds, which differ in their training and validation rows; see `splits.folds`.

    Raises DataError if rows, classes or groups do not suffice.
    """
    pairs = folds(
        *_targets(dataset),
        k,
        seed,
        stratify=_stratified(dataset),
        **_keys(dataset, _FOLDS),
        time=dataset.time,
        classes=dataset.classes,
        where=dataset.name,
    )
    return tuple(_divided(dataset, train, validation) for train, validation in pairs)


def reshuffled(dataset: Dataset, seed: int) -> Dataset:
    """As many validation rows as before, others for each seed; with groups, as nearly as these allow.

    Raises DataError if rows are divided by time, where the last ones validate and there is no other way.
    """
    if dataset.time is not None:
        raise DataError(
            f"{dataset.name}: rows divided by [data] time = {toml(dataset.spec.time)} cannot be shuffled, "
            "since later ones would train and earlier ones validate; use folds"
        )
    share = len(dataset.validation) / len(dataset.target)
    codes, n = _targets(dataset)
    train, validation, _ = split_rows(
        codes,
        n,
        Split(1.0 - share, share, 0.0),
        seed,
        stratify=_stratified(dataset),
        **_keys(dataset, _HOLDOUTS),
        classes=dataset.classes,
        where=dataset.name,
    )
    return _divided(dataset, train, validation)


def _targets(dataset: Dataset) -> tuple[Array | None, int]:
    return dataset.target if _stratified(dataset) else None, len(dataset.target)


def _keys(dataset: Dataset, stream: int) -> dict[str, Any]:
    """Groups and content; mixed, so that the order of rows has nothing to do with that of the split."""
    if dataset.content is None:
        return {"group": dataset.group}
    group = None if dataset.group is None else mixed(dataset.group, stream)
    return {"group": group, "content": mixed(dataset.content, stream)}


def _stratified(dataset: Dataset) -> bool:
    return dataset.task == "classification" and not dataset.of_steps


def _divided(dataset: Dataset, train: Array, validation: Array) -> Dataset:
    """The same rows under another division. Raises DataError if training rows have one class only."""
    if dataset.task == "classification":
        present = np.unique(known(dataset.target[train]))
        if len(present) < 2:
            name = toml(dataset.classes[present[0]])
            raise DataError(
                f"{dataset.name}: all training rows of a fold are of class {name}; take fewer folds"
            )
    if dataset.task == "multilabel" and not dataset.of_steps:
        check_taught(dataset.target, train, dataset.outputs, f"{dataset.name}: in a fold")
    check_parts(dataset.weight, {"training": train, "validation": validation}, f"{dataset.name}: in a fold,")
    weights = () if dataset.weight is None else (dataset.weight,)
    rows = dataset.rows, dataset.target, train, validation, dataset.classes, *weights
    return replace(dataset, train=train, validation=validation, fingerprint=fingerprints.of_rows(*rows))
