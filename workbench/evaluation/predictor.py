"""A loaded model: raw rows in, as they stand in the user's file; out come predictions in the user's units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.core.errors import DataError, InputError
from workbench.core.target_transform import AS_IT_IS, Transform, to_data
from workbench.core.types import Array, Task
from workbench.nn.recipe import Hyperparameters, Recipe

if TYPE_CHECKING:
    import pandas as pd

    from workbench.data.preprocessing import Preprocessor
    from workbench.evaluation.conformal import Residuals


#: Rows in one call of the compiled program; the last call is padded, so nothing compiles twice.
CHUNK = 256
#: Where a prediction belongs, if every step of a sequence has one; both count from 0.
STEP_COLUMNS = ("row", "step")


@dataclass(frozen=True, repr=False)
class Predictor:
    """A loaded model. Call `predict` or `predict_proba`."""

    recipe: Recipe
    hyper: Hyperparameters
    params: Any  # nested dict of arrays, as the model's `init` makes it
    preprocessor: Preprocessor
    task: Task
    classes: tuple[str | int, ...]  # empty for regression
    threshold: float  # of two classes, the second is said above this probability
    shift: Array  # [K]
    scale: Array  # [K]
    columns: tuple[str, ...]  # of the table that `predict` gives
    transform: Transform = AS_IT_IS  # of the targets of a regression
    temperature: float = 1.0  # by which logits are divided: see `calibration`
    residuals: Residuals | None = None  # of the validation rows of a regression: see `conformal`

    def predict(
        self, rows: pd.DataFrame | Array | Sequence[Mapping[str, Any]], *, interval: float | None = None
    ) -> pd.DataFrame:
        """Predictions for raw rows, one row each, under the index of `rows` if it is a table.

        Regression gives `prediction` in the units of the data, of several targets `prediction_<target>` each.
        Classification gives `prediction`, the label, and `probability_<label>` for every class. Of several
        labels a row has or has not, it gives `prediction_<label>`, 0 or 1, and then `probability_<label>` of
        each. Where every step of a sequence has a prediction, the table has a row for each step that is
        there, with `row` and `step` in front.

        An array stands for a table whose columns are those of the training rows, in their order.

        interval  a share, such as 0.9: adds `lower` and `upper` (of several targets, `lower_<target>` …),
                  between which that share of new rows like the validation rows shall lie: see `conformal`

        Raises InputError for an interval that cannot be given, DataError if the rows lack a column or hold
        what the model cannot read.
        """
        import pandas as pd

        half = None if interval is None else self.half_width(interval)
        table = self._frame(rows)
        index = table.index if isinstance(table, pd.DataFrame) else None
        if not len(table):
            first = STEP_COLUMNS if self.recipe.each else ()
            empty = pd.DataFrame({column: [] for column in (*first, *self.columns)})
            return empty if half is None else self._bounded(empty, half)
        x = np.asarray(self.preprocessor.transform(table), dtype=np.float32)
        outputs = self.estimates(x)
        if not self.recipe.each:
            found = self._table(outputs, index)
            return found if half is None else self._bounded(found, half)
        there = x[..., -1] > 0 if self.preprocessor.padded else np.ones(x.shape[:2], bool)
        frame = self._table(outputs[there], None)
        for place, (name, number) in enumerate(zip(STEP_COLUMNS, np.nonzero(there), strict=True)):
            frame.insert(place, name, number)
        return frame

    def half_width(self, interval: float) -> Array:
        """How far the ends of an interval lie from a prediction, [K]. Raises InputError, see `conformal`."""
        from workbench.evaluation import conformal

        if self.task != "regression":
            raise InputError(
                f"interval = {interval:g}: is for numbers, but the model predicts classes; their "
                "probabilities say how sure it is"
            )
        if self.residuals is None:
            raise InputError(
                f"interval = {interval:g}: by how much validation rows were missed was not kept with the "
                "model, which is of steps of sequences or of an earlier version; run a new study for it"
            )
        return conformal.half_width(self.residuals, interval)

    def _bounded(self, table: pd.DataFrame, half: Array) -> pd.DataFrame:
        """Predictions with the ends of their intervals behind them."""
        values, plain = table.to_numpy(dtype=np.float64), len(self.columns) == 1
        names = [name.removeprefix("prediction_") for name in self.columns]
        for which, ends in (("lower", values - half), ("upper", values + half)):
            for place, name in enumerate(names):
                table[which if plain else f"{which}_{name}"] = ends[:, place]
        return table

    def predict_proba(self, rows: pd.DataFrame | Array | Sequence[Mapping[str, Any]]) -> Array:
        """Probabilities [N, C] of the classes, in the order of `classes`; for rows as in `predict`.

        Of several labels [N, K], each by itself, in the order in which the study names them.

        Raises DataError as `predict` does, and for a model that predicts numbers.
        """
        if self.task == "regression":
            raise DataError("predict_proba: the model predicts numbers and has no probabilities; use predict")
        table: Array = self.predict(rows)[list(self.probability_columns)].to_numpy()
        return table

    @property
    def probability_columns(self) -> tuple[str, ...]:
        """Those of the columns that hold probabilities; none of a regression."""
        if self.task == "regression":
            return ()
        return self.columns[self.recipe.outputs if self.task == "multilabel" else 1 :]

    def _frame(self, rows: Any) -> Any:
        """Rows as the preprocessor takes them: an array is named, if the model was trained on a table."""
        import pandas as pd

        names = [column.name for column in self.preprocessor.columns]
        if isinstance(rows, pd.DataFrame):
            return rows
        if isinstance(rows, list | tuple) and (not rows or isinstance(rows[0], Mapping)):
            return pd.DataFrame(list(rows))
        array = np.asarray(rows)
        if not names:
            return array
        if array.ndim != 2 or array.shape[1] != len(names):
            raise DataError(
                f"rows: have the shape {array.shape}, but the model was trained on {len(names)} columns "
                f"({', '.join(names[:12])}); give them in this order, or a table"
            )
        return pd.DataFrame(array, columns=names).infer_objects()

    def __repr__(self) -> str:
        names = [column.name for column in self.preprocessor.columns]
        more = ", …" if len(names) > 12 else ""
        reads = f"{', '.join(names[:12])}{more}" if names else str(self.preprocessor.shape)
        gives = f"classes {', '.join(map(str, self.classes[:12]))}" if self.classes else "numbers"
        if self.task == "multilabel":
            gives = ", ".join(self.probability_columns[:12])
        return f"Predictor({self.recipe.family}, from {reads} to {gives})"

    def novelties(
        self, rows: pd.DataFrame | Array | Sequence[Mapping[str, Any]]
    ) -> dict[str, dict[str, Any]]:
        """What raw rows hold that no training row did, by column; nothing is said of arrays.

        `unseen`: labels, with the count of cells and the first few of them; `blank`: counts of blank cells in
        columns that had none; `outside`: counts of numbers and dates that are further outside the training
        range than that is wide, with the furthest.

        Raises DataError as `predict`.
        """
        import pandas as pd

        table = self._frame(rows)
        if not isinstance(table, pd.DataFrame) or not len(table):
            return {"unseen": {}, "blank": {}, "outside": {}}
        return self.preprocessor.novelties(table)

    def _table(self, outputs: Array, index: pd.Index[Any] | None) -> pd.DataFrame:
        """Estimates [N, K] as people read them."""
        import pandas as pd

        if self.task == "regression":
            return pd.DataFrame(outputs, columns=list(self.columns), index=index)
        if self.task == "multilabel":
            said = said_labels(outputs, self.threshold)
            both = np.concatenate([said, label_probabilities(outputs)], axis=1)
            kinds = dict.fromkeys(self.columns[: said.shape[1]], np.int64)
            return pd.DataFrame(both, columns=list(self.columns), index=index).astype(kinds)
        probability, codes = probabilities(outputs), decisions(outputs, self.threshold)
        frame = pd.DataFrame(probability, columns=list(self.columns[1:]), index=index)
        frame.insert(0, self.columns[0], [self.classes[code] for code in codes])
        return frame

    def member(self, index: int) -> Predictor:
        """One member of an ensemble as a model of its own; of a single model, the model itself."""
        from workbench.nn.models import ensemble

        options = tuple(pair for pair in self.recipe.options if pair[0] != "ensemble")
        params = ensemble.member(self.recipe, self.params, index)
        return replace(self, recipe=replace(self.recipe, options=options), params=params)

    def raw_estimates(self, rows: Any) -> Array:
        """`estimates` of raw rows."""
        return self.estimates(np.asarray(self.preprocessor.transform(rows), np.float32))

    def estimates(self, x: Array) -> Array:
        """For prepared rows: logits [N, K] float32, or numbers [N, K] float64 in the units of the data.

        [N, T, K] where every step of a sequence has its own.
        """
        estimates = self.outputs(x)
        if self.task == "regression":
            estimates = to_data(estimates.astype(np.float64), self)
        elif self.temperature != 1.0:
            estimates = estimates / np.float32(self.temperature)
        return estimates

    def outputs(self, x: Array) -> Array:
        """What the model gives for prepared rows: x [N, *F] float32 -> [N, K] float32."""
        parts = []
        for first in range(0, len(x), CHUNK):
            part = x[first : first + CHUNK]
            padded = np.zeros((CHUNK, *part.shape[1:]), np.float32)
            padded[: len(part)] = part
            parts.append(np.asarray(_program()(self.recipe, self.hyper, self.params, padded))[: len(part)])
        return np.concatenate(parts)


def decisions(outputs: Array, threshold: float = 0.5) -> Array:
    """Class codes [N] of logits [N, K]: of two classes the second above the threshold, else the likeliest.

    Compared as `metrics.predictions` compares, to the last bit.
    """
    if outputs.shape[1] > 2:
        likeliest: Array = probabilities(outputs).argmax(axis=1)
        return likeliest
    logit = outputs[:, -1] - (outputs[:, 0] if outputs.shape[1] == 2 else np.float32(0.0))
    above: Array = logit > np.float32(np.log(threshold / (1.0 - threshold)))
    return above.astype(np.int64)


def probabilities(outputs: Array) -> Array:
    """Logits [N, K] -> [N, C] float64, rows summing to one. A single logit speaks for the second class."""
    z = outputs.astype(np.float64)
    if z.shape[1] == 1:
        z = np.concatenate([np.zeros_like(z), z], axis=1)
    e = np.exp(z - z.max(axis=1, keepdims=True))
    total: Array = e / e.sum(axis=1, keepdims=True)
    return total


def said_labels(outputs: Array, threshold: float = 0.5) -> Array:
    """Which labels are said, zeros and ones [..., K] of logits: those above the threshold."""
    above: Array = np.asarray(outputs, np.float32) > np.float32(np.log(threshold / (1.0 - threshold)))
    return above.astype(np.int64)


def label_probabilities(outputs: Array) -> Array:
    """Logits [..., K] -> the probability of each label, float64."""
    z = outputs.astype(np.float64)
    smaller = np.exp(-np.abs(z))  # which does not overflow
    found: Array = np.where(z < 0, smaller, 1.0) / (1.0 + smaller)
    return found


@cache
def _program() -> Any:
    """One compiled program for every predictor of a recipe; made on first use, since it needs jax."""
    import jax

    from workbench.nn.models import predict

    @partial(jax.jit, static_argnums=0)
    def apply(recipe: Recipe, hyper: Hyperparameters, params: Any, x: jax.Array) -> jax.Array:
        outputs: jax.Array = jax.vmap(lambda row: predict(recipe, hyper, params, row))(x)
        return outputs

    return apply
