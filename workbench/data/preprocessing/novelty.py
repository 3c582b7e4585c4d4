"""What rows to be predicted hold that training rows did not: labels, blanks, numbers far outside.

Of training rows is kept which columns had blanks, from where to where numbers and dates go (days since
1970-01-01), and a hash of every label: a rare one shares a feature with those that were never seen, and shall
be told apart from them without being written into the model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from workbench.core.formatting import toml
from workbench.core.types import Array
from workbench.data.preprocessing.features import date_part
from workbench.data.preprocessing.tables import Column

#: Columns of one kind, and values of one column, that are told.
TOLD, QUOTED = 4, 3
#: Characters of a quoted label.
LONGEST = 40


class Training(NamedTuple):
    """What training rows held, of C columns."""

    blank: Array  # [C] bool
    low: Array  # [C] float64, of numbers and dates; NaN where there is none
    high: Array  # [C]
    labels: Mapping[int, Array]  # by place of the column: hashes [L] uint64, in order

    def arrays(self) -> dict[str, Array]:
        """By name, for an archive."""
        labels = {f"labels/{place}": hashes for place, hashes in self.labels.items()}
        return {"blank": self.blank, "low": self.low, "high": self.high, **labels}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, Array]) -> Training:
        """What `arrays` gave."""
        places = {name: int(name.partition("/")[2]) for name in arrays if name.startswith("labels/")}
        labels = {place: arrays[name] for name, place in places.items()}
        return cls(arrays["blank"], arrays["low"], arrays["high"], labels)


def of_training(frame: pd.DataFrame, columns: Sequence[Column]) -> Training:
    """What these rows hold; a frame as `tables.conform` gives it."""
    read = [_numbers(frame, column) for column in columns]
    ends = [(np.nanmin(v), np.nanmax(v)) if np.isfinite(v).any() else (np.nan, np.nan) for v in read]
    low, high = np.array(ends, np.float64).reshape(-1, 2).T
    labels = {
        place: hashed(_present(frame[column.name]))
        for place, column in enumerate(columns)
        if column.kind == "category"
    }
    blank = [bool(frame[column.name].isna().any()) for column in columns]
    return Training(np.array(blank, bool), low, high, labels)


def novelties(frame: pd.DataFrame, columns: Sequence[Column], training: Training) -> dict[str, Any]:
    """What the rows of a conformed frame hold that training rows did not, by column; plain data.

    unseen   labels that no training row had: how many cells, how many labels, and the first few
    blank    blank cells of columns that had none: how many
    outside  numbers and dates that are further outside the training range than it is wide: how many, the
             furthest, and the range
    """
    unseen, blank, outside = {}, {}, {}
    for place, column in enumerate(columns):
        values = frame[column.name]
        if not training.blank[place] and (count := int(values.isna().sum())):
            blank[column.name] = count
        if place in training.labels:
            present = _present(values)
            new = present[~np.isin(_hashes(present), training.labels[place])]
            if len(new):
                count = int(values.isin(new).sum())
                unseen[column.name] = {
                    "cells": count,
                    "labels": len(new),
                    "values": [str(label) for label in new[:QUOTED]],
                }
        low, high = training.low[place], training.high[place]
        read = _numbers(frame, column)
        beyond = np.maximum(low - read, read - high)
        with np.errstate(invalid="ignore"):
            far = beyond > high - low
        if far.any():
            furthest = read[np.nanargmax(np.where(far, beyond, np.nan))]
            ends = (_shown(column, each) for each in (furthest, low, high))
            told = dict(zip(("furthest", "low", "high"), ends, strict=True))
            outside[column.name] = {"cells": int(far.sum()), **told}
    return {"unseen": unseen, "blank": blank, "outside": outside}


def told(found: Mapping[str, Mapping[str, Any]]) -> str:
    """What `novelties` found as one line, without its end; empty if nothing was."""
    quoted = {
        name: ", ".join(toml(_short(value)) for value in one["values"])
        for name, one in found["unseen"].items()
    }
    unseen = [
        f"{one['cells']:,} of {toml(name)} ({quoted[name]}{', …' * (one['labels'] > QUOTED)})"
        for name, one in found["unseen"].items()
    ]
    blank = [f"{count:,} of {toml(name)}" for name, count in found["blank"].items()]
    outside = [
        f"{one['cells']:,} of {toml(name)} (such as {_plain(one['furthest'])}; training rows have "
        f"{_plain(one['low'])} to {_plain(one['high'])})"
        for name, one in found["outside"].items()
    ]
    kinds = {
        "cells with a label that no training row had": unseen,
        "blank cells where no training row had one": blank,
        "values far outside the training range": outside,
    }
    return "; ".join(f"{what}: {_listed(each)}" for what, each in kinds.items() if each)


def _listed(each: Sequence[str]) -> str:
    more = len(each) - TOLD
    return ", ".join(each[:TOLD]) + (f" and in {more:,} more columns" if more > 0 else "")


def _short(label: str) -> str:
    return label if len(label) <= LONGEST else f"{label[: LONGEST - 1]}…"


def _plain(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.6g}"


def hashed(labels: Sequence[str] | Array) -> Array:
    """What labels are recognized by, [L] uint64 in order; the same everywhere."""
    return np.sort(_hashes(np.array(labels, object)))


def _numbers(frame: pd.DataFrame, column: Column) -> Array:
    """[N] float64, NaN where blank; of labels and truth values nothing else."""
    if column.kind == "date":
        return date_part(frame[column.name], "days")
    if column.kind == "numeric":
        return frame[column.name].to_numpy(np.float64)
    return np.full(len(frame), np.nan)


def _shown(column: Column, value: float) -> float | str:
    if column.kind != "date":
        return float(value)
    return str(np.datetime64(round(value * 86_400), "s").astype("datetime64[D]"))


def _present(column: pd.Series[Any]) -> Array:
    """The labels that stand in a column, [L] of text."""
    levels = np.array(column.cat.categories, object)
    codes = np.unique(np.asarray(column.cat.codes))
    found: Array = levels[codes[codes >= 0]]
    return found


def _hashes(labels: Array) -> Array:
    return pd.util.hash_array(labels, categorize=False) if len(labels) else np.zeros(0, np.uint64)
