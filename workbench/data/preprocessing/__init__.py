"""Raw rows into features for a model; every statistic comes from training rows.

Tables: numbers (dates as numbers) are filled with the training median where blank, multiplied out to
`degree`, scaled, and encoded in `bins` where asked for. Then come features that stay zero or one: `NAME
blank` for columns that were blank in training rows, truth values, and one feature per label. Arrays [N, F]
are tables of numbers.

Images and sequences are in `channels`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from workbench.core.errors import DataError
from workbench.core.formatting import toml
from workbench.core.types import Array
from workbench.data.preprocessing import features, novelty
from workbench.data.preprocessing.bins import Bins
from workbench.data.preprocessing.channels import fit_channels, transform_channels
from workbench.data.preprocessing.features import PLAIN, Encoding, Levels
from workbench.data.preprocessing.novelty import Training
from workbench.data.preprocessing.scaling import Scaling
from workbench.data.preprocessing.tables import Column, conform


@dataclass(frozen=True, eq=False)
class Preprocessor:
    """Fitted by `fit`; plain values and arrays only.

    shape    *F of one raw example; of a table, the number of its columns
    fill     what stands for a blank: of each number (tables), of each channel (images, sequences)
    blank    [len(fill)] which numbers have a feature that says whether they were blank
    training what training rows held; None of arrays, and of models that earlier versions saved
    """

    columns: tuple[Column, ...]  # of a table; none for arrays
    shape: tuple[int, ...]
    degree: int
    fill: Array
    blank: Array
    truth: tuple[float, ...]  # what stands for a blank truth value, one per boolean column
    parts: tuple[tuple[str, ...], ...]  # of each date
    levels: tuple[Levels, ...]  # of each column of labels
    padded: bool  # whether training sequences have padding
    scaling: Scaling
    bins: Bins | None = None  # of the numbers, after scaling; None: they stay as they are
    training: Training | None = None

    def conform(self, rows: pd.DataFrame | pa.Table) -> pd.DataFrame:
        """The model's columns of a table, read as what they were in training; errors as in `transform`."""
        return conform(rows, self.columns, "rows")[0]

    def novelties(self, rows: pd.DataFrame | pa.Table) -> dict[str, Any]:
        """What rows of a table hold that no training row did: see `novelty.novelties`."""
        frame, training = self.conform(rows), self.training or _of_features(self)
        return novelty.novelties(frame, self.columns, training)

    def transform(self, rows: pd.DataFrame | pa.Table | Array) -> Array:
        """Features [N, *F] float32.

        A table may hold more columns, in any order, as text or as numbers. Raises DataError if a column is
        missing, a cell
        cannot be read as what it was in training, or an array has another shape.
        """
        if len(self.shape) > 1:
            return transform_channels(_checked(rows, self.shape), self.fill, self.padded, self.scaling)
        return _transform_rows(self, rows)

    def raw(self, rows: pd.DataFrame | pa.Table | Array) -> Array:
        """What trees split on: the cells themselves, neither filled nor scaled.

        Args:
            rows: as in `transform`.

        Returns:
            [N, C] float64, NaN where nothing stands: a code for each label, first, then truth values, numbers
            and parts of dates; of arrays every number. A label that no training row had is blank.

        Raises:
            DataError: as in `transform`.
        """
        return _raw(self, rows)

    @property
    def n_numbers(self) -> int:
        """How many features, the first ones, are numbers of a row, each in one place; none where encoded."""
        return len(self.scaling.shift) if len(self.shape) == 1 and self.bins is None else 0

    @property
    def feature_names(self) -> tuple[str, ...]:
        """One name per feature; of images and sequences, per channel."""
        names, terms = _number_names(self), _terms(self)
        plain = features.monomial_names(names[: _n_numeric(self)], terms) + names[_n_numeric(self) :]
        if len(self.shape) > 1:
            return (*plain, *(("present",) if self.padded else ()))
        plain = self.bins.names(plain) if self.bins else plain
        plain += [f"{names[j]} blank" for j in np.flatnonzero(self.blank)]
        plain += [column.name for column in self._of("boolean")]
        for column, levels in zip(self._of("category"), self.levels, strict=True):
            plain += features.level_names(column.name, levels)
        return tuple(plain)

    def to_json(self) -> dict[str, Any]:
        """Plain data for `json.dump`; floats are written exactly."""
        return {
            "columns": [
                [column.name, column.kind, column.form, *([list(column.words)] if column.words else [])]
                for column in self.columns
            ],
            "shape": list(self.shape),
            "degree": self.degree,
            "fill": self.fill.tolist(),
            "blank": self.blank.tolist(),
            "truth": list(self.truth),
            "parts": [list(parts) for parts in self.parts],
            "levels": [[list(names), other, blank] for names, other, blank in self.levels],
            "padded": self.padded,
            "scale": self.scaling.kind,
            "scale_shift": self.scaling.shift.tolist(),
            "scale_rate": self.scaling.rate.tolist(),
            "scale_quantiles": self.scaling.quantiles.tolist(),
            **({"bins": [edges.tolist() for edges in self.bins.edges]} if self.bins else {}),
        }

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Preprocessor:
        """What `to_json` gave."""
        n = len(plain["scale_shift"])
        levels = plain["scale_quantiles"]
        quantiles = np.array(levels, np.float64).reshape(len(levels), n)  # n is 0 where no column is a number
        shift, rate = (np.array(plain[f"scale_{name}"], np.float64) for name in ("shift", "rate"))
        return cls(
            columns=tuple(
                Column(name, kind, form, tuple(*words)) for name, kind, form, *words in plain["columns"]
            ),
            shape=tuple(plain["shape"]),
            degree=plain["degree"],
            fill=np.array(plain["fill"], np.float64),
            blank=np.array(plain["blank"], bool),
            truth=tuple(plain["truth"]),
            parts=tuple(tuple(parts) for parts in plain["parts"]),
            levels=tuple(Levels(tuple(names), other, blank) for names, other, blank in plain["levels"]),
            padded=plain["padded"],
            scaling=Scaling(plain["scale"], shift, rate, quantiles),
            bins=Bins(tuple(np.array(edges, np.float64) for edges in plain["bins"]))
            if "bins" in plain
            else None,
        )

    def knowing(self, arrays: Mapping[str, Array]) -> Preprocessor:
        """The same with what training rows held, by the names of `Training.arrays`."""
        return replace(self, training=Training.of_arrays(arrays))

    def _of(self, kind: str) -> list[Column]:
        return [column for column in self.columns if column.kind == kind]


def fit(
    rows: pd.DataFrame | pa.Table | Array,
    columns: Sequence[Column] = (),
    scale: str = "standardize",
    *,
    degree: int = 1,
    encoding: Encoding = PLAIN,
    rare: int | None = None,
    where: str = "training rows",
) -> Preprocessor:
    """The preprocessor of these training rows.

    rows      a table with `columns` (see `kinds.infer`), or an array [N, *F]
    scale     none | standardize | minmax | quantile | robust
    degree    monomials of numeric features up to this degree; 1: none. Only for tables and [N, F]
    encoding  of numbers, see `bins`. Only for tables and [N, F]
    rare      labels with fewer rows share one feature; None: 10, or one row in a hundred where that is less

    Raises DataError if the columns do not fit, or `degree` or `encoding` makes too many features.
    """
    if not isinstance(rows, np.ndarray) or columns:
        frame = conform(rows, columns, where)[0]
        return _fit_table(frame, tuple(columns), scale, degree, encoding, rare, where)
    if rows.ndim > 2:
        for key, value, off in (("degree", degree, 1), ("numbers", encoding.kind, "plain")):
            if value != off:
                raise DataError(
                    f"{where}: [data] {key} = {toml(value)} is for rows of numbers, not {rows.shape[1:]}; "
                    f"use {toml(off)}"
                )
        fill, padded, scaling = fit_channels(rows, scale)
        blank = np.zeros(len(fill), bool)
        return Preprocessor((), rows.shape[1:], 1, fill, blank, (), (), (), padded, scaling)
    n = rows.shape[1]
    vectors = [rows[:, j] for j in range(n)]
    return _fit_numbers(vectors, (), (n,), scale, degree, encoding, n, where, truth=(), parts=(), levels=())


# ── rows of numbers, truth values, dates and labels ─────────────────────────────────────────────


def _fit_table(
    frame: pd.DataFrame,
    columns: tuple[Column, ...],
    scale: str,
    degree: int,
    encoding: Encoding,
    rare: int | None,
    where: str,
) -> Preprocessor:
    training = novelty.of_training(frame, columns)
    names = {
        kind: [c.name for c in columns if c.kind == kind]
        for kind in ("numeric", "date", "boolean", "category")
    }
    parts = tuple(features.varying_parts(frame[name]) for name in names["date"])
    truth = tuple(_mean(frame[name].to_numpy()) for name in names["boolean"])
    levels = tuple(features.fit_levels(frame[name], rare) for name in names["category"])
    vectors = features.vectors(frame, columns, parts)
    n = len(names["numeric"])
    shape = (len(columns),)
    return _fit_numbers(
        vectors, columns, shape, scale, degree, encoding, n, where,
        truth=truth, parts=parts, levels=levels, training=training,
    )  # fmt: skip


def _fit_numbers(
    vectors: Sequence[Array],
    columns: tuple[Column, ...],
    shape: tuple[int, ...],
    scale: str,
    degree: int,
    encoding: Encoding,
    n_numeric: int,
    where: str,
    **rest: Any,
) -> Preprocessor:
    fill, blank, scaling, bins = features.fit_numbers(vectors, n_numeric, degree, scale, encoding, where)
    return Preprocessor(columns, shape, degree, fill, blank, padded=False, scaling=scaling, bins=bins, **rest)


def _transform_rows(self: Preprocessor, rows: pd.DataFrame | pa.Table | Array) -> Array:
    frame = conform(rows, self.columns, "rows")[0] if self.columns else None
    if frame is not None:
        vectors = features.vectors(frame, self.columns, self.parts)
    else:
        array = _checked(rows, self.shape)
        vectors = [array[:, j] for j in range(array.shape[1])]
    n_numbers = self.bins.features if self.bins else len(self.scaling.shift)
    flagged = np.flatnonzero(self.blank)
    out = np.zeros((len(rows), len(self.feature_names)), np.float32)
    features.transform_numbers(
        vectors, self.fill, _terms(self), _n_numeric(self), self.scaling, self.bins, out[:, :n_numbers]
    )
    for place, j in enumerate(flagged, n_numbers):
        out[:, place] = ~np.isfinite(vectors[j])
    place = n_numbers + len(flagged)
    if frame is not None:
        for column, share in zip(self._of("boolean"), self.truth, strict=True):
            values = frame[column.name].to_numpy()
            out[:, place] = np.where(np.isnan(values), share, values)
            place += 1
        for column, levels in zip(self._of("category"), self.levels, strict=True):
            width = len(features.level_names(column.name, levels))
            features.one_hot(frame[column.name], levels, out[:, place : place + width])
            place += width
    return out


def _raw(self: Preprocessor, rows: pd.DataFrame | pa.Table | Array) -> Array:
    if not self.columns:
        array = _checked(rows, self.shape).reshape(len(rows), -1).astype(np.float64)
        return np.where(np.isfinite(array), array, np.nan)
    frame = conform(rows, self.columns, "rows")[0]
    labels = [
        features.codes(frame[column.name], levels)
        for column, levels in zip(self._of("category"), self.levels, strict=True)
    ]
    truth = [frame[column.name].to_numpy() for column in self._of("boolean")]
    return np.stack([*labels, *truth, *features.vectors(frame, self.columns, self.parts)], axis=1)


def _n_numeric(self: Preprocessor) -> int:
    return sum(column.kind == "numeric" for column in self.columns) if self.columns else len(self.fill)


def _terms(self: Preprocessor) -> list[tuple[int, ...]]:
    return features.monomials(_n_numeric(self), self.degree, "rows")


def _number_names(self: Preprocessor) -> list[str]:
    if not self.columns:
        return [f"{'x' if len(self.shape) == 1 else 'channel'}_{j}" for j in range(len(self.fill))]
    dates = zip(self._of("date"), self.parts, strict=True)
    return [c.name for c in self._of("numeric")] + [
        f"{c.name} {part}" for c, parts in dates for part in parts
    ]


def _of_features(self: Preprocessor) -> Training:
    """What the features of a model tell of its training rows, where nothing else does."""
    flagged = dict(zip(_number_names(self), self.blank, strict=True))
    levels = dict(zip([c.name for c in self._of("category")], self.levels, strict=True))
    firsts = dict(zip([c.name for c in self._of("date")], self.parts, strict=True))
    blank, labels = [], {}
    for place, column in enumerate(self.columns):
        name = f"{column.name} {firsts[column.name][0]}" if column.kind == "date" else column.name
        known = levels.get(column.name)
        blank.append(bool(known.blank if known else flagged.get(name, True)))
        if known and not known.other:
            labels[place] = novelty.hashed(known.names)
    nothing = np.full(len(self.columns), np.nan)
    return Training(np.array(blank, bool), nothing, nothing, labels)


def _mean(values: Array) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else 0.0


def _checked(rows: Any, shape: tuple[int, ...]) -> Array:
    array = np.asarray(rows)
    if array.dtype.kind not in "biuf" or array.shape[1:] != shape:
        raise DataError(
            f"rows: have the shape {array.shape} of {array.dtype}, but the model was trained on numbers [N, "
            f"{', '.join(map(str, shape))}]; give rows of that shape"
        )
    return array
