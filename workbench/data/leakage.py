"""What makes a validation score better than the model is, as sentences with advice.

    copies        validation rows that stand among training rows, exactly or nearly       `copies`
    giveaways     a column that alone predicts the target almost perfectly                `giveaways`
    identifiers   a column that numbers or names the rows: nothing to learn, much to learn by heart
    groups        rows of the same patient, customer, … on both sides of a random division
    times         dates in rows that were divided at random: the past is judged by the future

Development rows alone are looked at; the test rows stay under seal. Kaufman, Rosset, Perlich and Stitelman
2012, Leakage in data mining; Kapoor and Narayanan 2023, Leakage and the reproducibility crisis.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from workbench.data.copies import continuous, exact_copies, near_copies
from workbench.data.giveaways import giveaways, single_columns
from workbench.types import Array
from workbench.wording import toml

if TYPE_CHECKING:
    from workbench.data.dataset import Dataset

__all__ = ["findings"]

#: Fewer development rows show nothing.
LEAST_ROWS = 20
#: Labels that differ in so many of the rows are names of the rows.
UNIQUE = 0.95
#: A column of groups has at least so many values, and one value for so many rows at most on average: labels,
#: and whole numbers.
LEAST_GROUPS, ROWS_PER_LABEL, ROWS_PER_NUMBER = 20, 20, 50
#: Share of validation rows whose group has training rows too, from which it is told.
STRADDLING = 0.5
#: Different values that a column which groups determine must have, so that it is not constant by chance.
DETERMINED = 10
#: Different days that a column must hold to order the rows.
LEAST_DAYS = 10
_ID = {"id", "uuid", "guid"}
_NUMBER = {"no", "nr", "number", "code", "key", "index", "idx"}
_WHO = {
    *("patient", "subject", "participant", "person", "user", "customer", "client", "member", "account"),
    *(
        "student",
        "player",
        "author",
        "speaker",
        "family",
        "household",
        "group",
        "session",
        "device",
        "machine",
    ),
}
_YEAR = "year"
_BEGINNINGS = {"birth", "born", "birthday", "dob", "built", "founded"}


def findings(dataset: Dataset) -> tuple[str, ...]:
    """Sentences, the gravest first; none if nothing was found."""
    return (
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
    if len(dataset.target) < LEAST_ROWS:
        return []
    return [
        f"{dataset.name}: the column {toml(name)} {what}, which tells nothing of a new row; "
        f"{_drop(dataset, name)}."
        for name, labels, values in single_columns(dataset)
        if (what := _identifies(name, labels, values))
    ]


def _identifies(name: str, labels: bool, values: Array) -> str:
    """How the column identifies rows; empty if it does not."""
    if labels:
        known = values[values >= 0]
        unique = len(known) >= LEAST_ROWS and len(np.unique(known)) >= UNIQUE * len(known)
        return "holds a different label in nearly every row" if unique else ""
    if (
        _words(name)[-1] == _YEAR
        or np.isnan(values).any()
        or (values != np.trunc(values)).any()
        or len(np.unique(values)) < len(values)
    ):
        return ""
    steps = np.diff(values)
    if (steps > 0).all() or (steps < 0).all():
        return "numbers the rows"
    if np.ptp(values) < 2 * len(values) or _words(name)[-1] in _ID | _NUMBER:
        return "holds a different whole number in every row"
    return ""


def _groups(dataset: Dataset) -> list[str]:
    """Columns whose values tie rows of both sides together."""
    if dataset.group is not None or dataset.time is not None or not isinstance(dataset.rows, pd.DataFrame):
        return []
    found = []
    for name, labels, values in single_columns(dataset):
        if _identifies(name, labels, values) or not _ties(dataset, name, labels, values):
            continue
        inside = np.isin(values[dataset.validation], values[dataset.train])
        if inside.mean() >= STRADDLING:
            found.append(
                f"{dataset.name}: {_share(inside)} share their {toml(name)} with training rows; if rows of "
                f"the same {toml(name)} belong together and the model is for new ones, write [data] group = "
                f"{toml(name)}."
            )
    return found


def _ties(dataset: Dataset, name: str, labels: bool, values: Array) -> bool:
    """Whether a column is one of groups: by its many repeated labels, its name, or what it determines."""
    known = values[values >= 0] if labels else values[~np.isnan(values)]
    n, n_levels = len(known), len(np.unique(known))
    if n_levels < LEAST_GROUPS or 2 * n_levels > n or n_levels * ROWS_PER_NUMBER < n:
        return False
    if labels:
        return n_levels * ROWS_PER_LABEL >= n or _names_who(name)
    if (known != np.trunc(known)).any():
        return False
    return _names_who(name) or _determines(dataset, name, values)


def _determines(dataset: Dataset, name: str, values: Array) -> bool:
    """Whether another column of many values has one value for each of these, and is no rounding of them."""
    codes, first = np.unique(values, return_inverse=True)[1], np.unique(values, return_index=True)[1]
    for other, _, others in single_columns(dataset):
        n = len(np.unique(others))
        if other == name or not DETERMINED <= n < len(first) or (others != others[first][codes]).any():
            continue
        steps = np.diff(others[first])
        if (steps < 0).any() and (steps > 0).any():
            return True
    return False


def _times(dataset: Dataset) -> list[str]:
    """Columns that put the rows in order of time, where they were divided at random."""
    rows = dataset.rows
    if dataset.time is not None or dataset.group is not None or not isinstance(rows, pd.DataFrame):
        return []
    found = []
    for column in dataset.columns:
        values = rows[column.name]
        words = _words(column.name)
        if _BEGINNINGS & set(words):
            continue
        if column.kind == "date":
            low, high = (str(day)[:10] for day in (values.min(), values.max()))
            ordering = values.dt.normalize().nunique() >= LEAST_DAYS
        else:
            if (
                column.kind != "numeric"
                or words[-1] != _YEAR
                or not values.dropna().between(1800, 2200).all()
            ):
                continue
            low, high = f"{values.min():.0f}", f"{values.max():.0f}"
            ordering = values.nunique() >= 2
        if ordering:
            found.append(
                f"{dataset.name}: {toml(column.name)} goes from {low} to {high}, and rows were divided at "
                "random, so that validation rows are older than some training rows; if the model is for "
                f"later rows, write [data] time = {toml(column.name)}."
            )
    return found


def _few_values(dataset: Dataset) -> bool:
    """Whether rows can be equal by chance, because each column takes few values."""
    if isinstance(dataset.rows, np.ndarray) and dataset.rows.ndim > 2:
        return False
    return not any(continuous(values) for _, labels, values in single_columns(dataset) if not labels)


def _names_who(name: str) -> bool:
    """Such as `patient`, `CustomerID`, `account_no`."""
    *before, last = _words(name)
    return last in _ID | _WHO or (last in _NUMBER and bool(before) and before[-1] in _WHO)


def _words(name: str) -> list[str]:
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name).lower()
    return re.findall(r"[^\W_]+", apart) or [""]


def _drop(dataset: Dataset, name: str) -> str:
    if isinstance(dataset.rows, pd.DataFrame):
        return f"write [data] drop = [{toml(name)}]"
    return "leave it out of the array x"


def _share(rows: Array) -> str:
    return f"{int(rows.sum())} of {len(rows)} validation rows ({rows.mean():.1%})"
