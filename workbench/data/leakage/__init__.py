"""What makes a validation score better than the model is, as sentences with advice.

    overlap       official test rows that stand among training rows                        `overlap`
    copies        validation rows that stand among training rows, exactly or nearly       `copies`
    giveaways     a column that alone predicts the target almost perfectly                `giveaways`
    identifiers   a column that numbers or names the rows: nothing to learn, much to learn by heart
    groups        rows of the same patient, customer, … on both sides of a random division
    times         dates in rows that were divided at random: the past is judged by the future

Development rows alone are looked at; the test rows stay under seal. Kaufman, Rosset, Perlich and Stitelman
2012, Leakage in data mining; Kapoor and Narayanan 2023, Leakage and the reproducibility crisis.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from workbench.core.formatting import toml
from workbench.core.types import Array
from workbench.data.leakage import roles
from workbench.data.leakage.copies import continuous, exact_copies, near_copies
from workbench.data.leakage.giveaways import giveaways, single_columns

if TYPE_CHECKING:
    from workbench.data.dataset import Dataset


#: Share of validation rows whose group has training rows too, from which it is told.
STRADDLING = 0.5


def findings(dataset: Dataset) -> tuple[str, ...]:
    """Sentences, the gravest first; none if nothing was found."""
    return (
        *([dataset.overlap] if dataset.overlap else []),
        *_given_away(dataset),
        *_copied(dataset),
        *_identifiers(dataset),
        *_groups(dataset),
        *_times(dataset),
    )


def _given_away(dataset: Dataset) -> list[str]:
    return [
        f"{dataset.name}: the column {toml(name)} alone predicts {toml(dataset.target_name)} almost "
        f"perfectly; if it is not known when the model is used, {_drop(dataset, name)}."
        for name in giveaways(dataset)
    ]


def _copied(dataset: Dataset) -> list[str]:
    exact = exact_copies(dataset)
    near = near_copies(dataset, exact)
    found = []
    if exact.any():
        by_chance = (
            "; no column takes many values, so different cases may look alike, and then all is well"
            if _few_values(dataset)
            else ""
        )
        found.append(
            f"{dataset.name}: {_share(exact)} are copies of training rows, target included, and not new to "
            f"the model; keep one copy of each row, or keep copies together with [data] group{by_chance}."
        )
    if near.any():
        found.append(
            f"{dataset.name}: {_share(near)} are nearly the same as a training row, ten times as close to it "
            "as to others; if they show the same case, keep one of each, or keep them together with [data] "
            "group."
        )
    return found


def _identifiers(dataset: Dataset) -> list[str]:
    """Columns that number or name the rows."""
    return [
        f"{dataset.name}: the column {toml(name)} {what}, which tells nothing of a new row; "
        f"{_drop(dataset, name)}."
        for name, what in roles.identifiers(dataset)
    ]


def _groups(dataset: Dataset) -> list[str]:
    """Columns whose values tie rows of both sides together."""
    if dataset.group is not None or dataset.time is not None:
        return []
    found = []
    for name, values in roles.groups(dataset):
        inside = np.isin(values[dataset.validation], values[dataset.train])
        if inside.mean() >= STRADDLING:
            found.append(
                f"{dataset.name}: {_share(inside)} share their {toml(name)} with training rows; if rows of "
                f"the same {toml(name)} belong together and the model is for new ones, write [data] group = "
                f"{toml(name)}."
            )
    return found


def _times(dataset: Dataset) -> list[str]:
    """Columns that put the rows in order of time, where they were divided at random."""
    if dataset.time is not None or dataset.group is not None:
        return []
    return [
        f"{dataset.name}: {toml(name)} goes from {low} to {high}, and rows were divided at random, so that "
        "validation rows are older than some training rows; if the model is for later rows, write [data] "
        f"time = {toml(name)}."
        for name, low, high in roles.times(dataset)
    ]


def _few_values(dataset: Dataset) -> bool:
    """Whether rows can be equal by chance, because each column takes few values."""
    if isinstance(dataset.rows, np.ndarray) and dataset.rows.ndim > 2:
        return False
    return not any(continuous(values) for _, labels, values in single_columns(dataset) if not labels)


def _drop(dataset: Dataset, name: str) -> str:
    if isinstance(dataset.rows, pd.DataFrame):
        return f"write [data] drop = [{toml(name)}]"
    return "leave it out of the array x"


def _share(rows: Array) -> str:
    return f"{int(rows.sum())} of {len(rows)} validation rows ({rows.mean():.1%})"
