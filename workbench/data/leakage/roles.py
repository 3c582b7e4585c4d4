"""What a column is beside a feature: the name of its row, a group of rows, a time that orders them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from workbench.core.types import Array
from workbench.data.leakage.giveaways import single_columns

if TYPE_CHECKING:
    from workbench.data.dataset import Dataset


#: Fewer development rows show nothing.
LEAST_ROWS = 20
#: Labels that differ in so many of the rows are names of the rows.
UNIQUE = 0.95
#: A column of groups has at least so many values, and one value for so many rows at most on average: labels,
#: and whole numbers.
LEAST_GROUPS, ROWS_PER_LABEL, ROWS_PER_NUMBER = 20, 20, 50
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


def identifiers(dataset: Dataset) -> list[tuple[str, str]]:
    """Columns that number or name the rows, and how.

    Not dates: no row has one twice, but its month, its weekday and its hour come again.
    """
    if len(dataset.target) < LEAST_ROWS:
        return []
    dates = {column.name for column in dataset.columns if column.kind == "date"}
    found = [
        (name, _identifies(name, labels, values))
        for name, labels, values in single_columns(dataset)
        if name not in dates
    ]
    return [(name, what) for name, what in found if what]


def groups(dataset: Dataset) -> list[tuple[str, Array]]:
    """Columns of tables whose rows of equal value may belong together, with their values [N]."""
    if not isinstance(dataset.rows, pd.DataFrame):
        return []
    return [
        (name, values)
        for name, labels, values in single_columns(dataset)
        if not _identifies(name, labels, values) and _ties(dataset, name, labels, values)
    ]


def times(dataset: Dataset) -> list[tuple[str, str, str]]:
    """Columns of tables that put rows in order of time, dates first, with the first and the last moment."""
    rows = dataset.rows
    if not isinstance(rows, pd.DataFrame):
        return []
    dates, years = [], []
    for column in dataset.columns:
        values = rows[column.name]
        words = _words(column.name)
        if _BEGINNINGS & set(words):
            continue
        if column.kind == "date":
            low, high = (str(day)[:10] for day in (values.min(), values.max()))
            if values.dt.normalize().nunique() >= LEAST_DAYS:
                dates.append((column.name, low, high))
        elif column.kind == "numeric" and words[-1] == _YEAR and values.dropna().between(1800, 2200).all():
            low, high = f"{values.min():.0f}", f"{values.max():.0f}"
            if values.nunique() >= 2:
                years.append((column.name, low, high))
    return dates + years


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


def _ties(dataset: Dataset, name: str, labels: bool, values: Array) -> bool:
    """Whether a column is one of groups: by its many repeated labels, its name, or what it determines."""
    known = values[values >= 0] if labels else values[~np.isnan(values)]
    n, n_levels = len(known), len(np.unique(known))
    if n_levels < LEAST_GROUPS or 2 * n_levels > n or n_levels * ROWS_PER_NUMBER < n:
        return False
    if labels:
        return n_levels * ROWS_PER_LABEL >= n or names_who(name)
    if (known != np.trunc(known)).any():
        return False
    return names_who(name) or _determines(dataset, name, values)


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


def names_who(name: str) -> bool:
    """Whether a column is called after those whose rows belong together: `patient`, `CustomerID`."""
    *before, last = _words(name)
    return last in _ID | _WHO or (last in _NUMBER and bool(before) and before[-1] in _WHO)


def _words(name: str) -> list[str]:
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name).lower()
    return re.findall(r"[^\W_]+", apart) or [""]
