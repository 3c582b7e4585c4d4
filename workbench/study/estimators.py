"""Estimators for scikit-learn: `fit` searches, on training and validation rows; no test set is opened."""

from __future__ import annotations

import re
import tempfile
import uuid
from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path
from shutil import rmtree
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from workbench.core.errors import InputError
from workbench.core.locations import resolve
from workbench.core.records import Selection
from workbench.core.types import Array, Task
from workbench.data.weights import uneven
from workbench.evaluation.predictor import Predictor
from workbench.evaluation.saved_model import load
from workbench.study.api import search
from workbench.study.choice import freeze
from workbench.study.config import Study
from workbench.study.created import create_study
from workbench.study.identity import identified
from workbench.study.workspace import enter, search_of
from workbench.tuning import jobs

#: The settings that are parameters of an estimator by their own names.
_NAMED = (
    *("family", "depth", "width", "activation", "optimizer", "learning_rate", "l2", "dropout"),
    *("epochs", "batch_size", "trials", "seeds", "metric"),
)
#: What the column of the target is called in a table; no column of X is.
_TARGET = "target"


class _Searched(BaseEstimator):  # type: ignore[misc]
    """What both estimators do."""

    _task: Task

    def __init__(
        self,
        *,
        family: Any = None,
        depth: Any = None,
        width: Any = None,
        activation: Any = None,
        optimizer: Any = None,
        learning_rate: Any = None,
        l2: Any = None,
        dropout: Any = None,
        epochs: Any = None,
        batch_size: Any = None,
        trials: int | None = None,
        seeds: int | None = None,
        metric: str | None = None,
        settings: Mapping[str, Any] | None = None,
        validation_fraction: float = 0.2,
        random_state: Any = 0,
        home: str | Path | None = None,
    ) -> None:
        self.family = family
        self.depth = depth
        self.width = width
        self.activation = activation
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.l2 = l2
        self.dropout = dropout
        self.epochs = epochs
        self.batch_size = batch_size
        self.trials = trials
        self.seeds = seeds
        self.metric = metric
        self.settings = settings
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.home = home

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        tags.input_tags.string = True
        return tags

    def _search(self, x: Any, y: Array, weight: Array | None, task: Task | None = None) -> None:
        """Search on all rows and keep the choice."""
        data: Any = (x, y)
        names = [_TARGET] if y.ndim == 1 else [f"{_TARGET}_{k}" for k in range(y.shape[1])]
        if isinstance(x, pd.DataFrame):
            while set(names) & set(x.columns):
                names = [f"{name}_" for name in names]
            x = x.reset_index(drop=True)
            data = (x, pd.Series(y, name=names[0])) if y.ndim == 1 else data
        if y.ndim > 1:
            data = (x, pd.DataFrame(y, columns=names))
        said = {key: value for key in _NAMED if (value := getattr(self, key)) is not None}
        share = float(self.validation_fraction)
        seed = self.random_state
        if not isinstance(seed, int | np.integer):
            seed = check_random_state(seed).randint(2**31 - 2_000_000)
        said |= {
            "split": {"train": 1.0 - share, "validation": share, "test": 0.0},
            "task": task or self._task,
            "seed": int(seed),
            "split_seed": int(seed),
            "name": type(self).__name__.lower(),
            **(self.settings or {}),
        }
        if weight is not None:
            said["weight"] = weight
        if self.home is None:
            said["name"] = f"fit-{uuid.uuid4().hex}"
        try:
            study = create_study(data, home=self.home or _workshop(), tell=None, **said)
            if self.home is None:
                self._take(*_searched(study))
            else:
                self.result_ = search(study)
                self._take(self.result_.model, self.result_.best.params, self.result_.best.validation)
        except InputError as error:  # which scikit-learn knows by another name
            told = re.sub(rf"\S*{said['name']}\S*: ", "", str(error))
            raise ValueError(re.sub(rf"{said['name']}-\w+\.\w+", "the data", told)) from error

    def _take(self, model: Predictor, params: Mapping[str, Any], score: float) -> None:
        self.model_ = model
        self.best_params_ = dict(params)
        self.best_score_ = float(score)

    def _checked(self, x: Any, *y: Any, **how: Any) -> Any:
        """X, or X and y, checked as scikit-learn does; a frame of more than numbers keeps its cells."""
        least = 2 if y else 1
        if not _is_mixed(x):
            numbers = {"ensure_all_finite": "allow-nan", "allow_nd": True, "ensure_min_samples": least}
            return validate_data(self, x, *y, **numbers, **how)
        found = validate_data(self, x, *y, skip_check_array=True, reset=how.get("reset", True))
        frame = found[0] if y else found
        if len(frame) < least:
            raise ValueError(f"Found array with {len(frame)} sample(s); a minimum of {least} is required")
        frame = frame.set_axis([str(name) for name in frame.columns], axis=1)
        return (frame, *found[1:]) if y else frame

    def _told(self, x: Any) -> pd.DataFrame:
        check_is_fitted(self)
        told: pd.DataFrame = self.model_.predict(self._checked(x, reset=False))
        return told


class Classifier(ClassifierMixin, _Searched):  # type: ignore[misc]
    """A neural network for classes, found by a search, as an estimator of scikit-learn.

    make_pipeline(SelectKBest(k=20), wb.Classifier(trials=30, depth=wb.axis(1, 3)))
    """

    _task: Task = "classification"

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Search, and keep the chosen model.

        Args:
            X: Rows: a data frame, or numbers [N, F], [N, T, F], [N, H, W] or [N, H, W, C].
            y: Their classes, [N], of any kind; or an indicator [N, K] of zeros and ones, of K labels.
            sample_weight: How much each row counts, in training and in validation scores, [N].

        Returns:
            The estimator.

        Raises:
            ValueError: for rows that cannot be trained on and settings that cannot be.
        """
        x, y = self._checked(X, _given(y), multi_output=True)
        weight = _weights(sample_weight, len(x))
        if _indicates(y):
            return self._fit_labels(x, np.asarray(y), weight)
        self.multilabel_ = False
        y = column_or_1d(y, warn=True)
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"y has one class, {self.classes_[0]}; a classifier needs two or more")
        once = np.flatnonzero(
            np.bincount(codes)[codes] == 1
        )  # a class of one row is trained and judged by it
        if len(once):
            x = pd.concat([x, x.iloc[once]]) if isinstance(x, pd.DataFrame) else np.concatenate([x, x[once]])
            weight = None if weight is None else np.concatenate([weight, weight[once]])
        self._search(x, np.concatenate([codes, codes[once]]), weight)
        return self

    def _fit_labels(self, x: Any, y: Array, weight: Array | None) -> Self:
        """`fit` of an indicator [N, K]: labels that a row has or has not."""
        if ((y == y[:1]).all(axis=0)).any():
            raise ValueError("y has a label that all rows have, or none; leave it out")
        self.multilabel_, self.classes_ = True, np.arange(y.shape[1])
        self._search(x, y.astype(np.int64), weight, task="multilabel")
        return self

    def predict(self, X: Any) -> Array:
        """The likeliest class of each row, as it stood in y; of several labels an indicator.

        Args:
            X: Rows [N, *F] as in `fit`.

        Returns:
            Classes [N], or zeros and ones [N, K].
        """
        told = self._told(X)
        if self.multilabel_:
            return np.asarray(told.to_numpy()[:, : len(self.classes_)].astype(np.int64))
        codes = told["prediction"].to_numpy(dtype=np.int64)
        said: Array = self.classes_[codes]
        return said

    def predict_proba(self, X: Any) -> Array:
        """The probability of every class.

        Args:
            X: Rows [N, *F] as in `fit`.

        Returns:
            Probabilities [N, C], in the order of `classes_`; of several labels each by itself.
        """
        told = self._told(X)
        if self.multilabel_:
            return np.asarray(told.to_numpy()[:, len(self.classes_) :])
        names = [f"probability_{code}" for code in range(len(self.classes_))]
        shares: Array = told[names].to_numpy()
        return shares


class Regressor(RegressorMixin, _Searched):  # type: ignore[misc]
    """A neural network for numbers, found by a search, as an estimator of scikit-learn.

    cross_val_score(wb.Regressor(trials=30), frame, prices)
    """

    _task: Task = "regression"

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Search, and keep the chosen model.

        Args:
            X: Rows: a data frame, or numbers [N, F], [N, T, F], [N, H, W] or [N, H, W, C].
            y: Their targets, numbers [N], or [N, K] of K targets.
            sample_weight: How much each row counts, in training and in validation scores, [N].

        Returns:
            The estimator.

        Raises:
            ValueError: for rows that cannot be trained on and settings that cannot be.
        """
        x, y = self._checked(X, _given(y), y_numeric=True, multi_output=True)
        y = np.asarray(y, np.float64)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if not np.isfinite(y).all():
            raise ValueError("Input y contains NaN or infinity; every row needs its target")
        self._search(x, y, _weights(sample_weight, len(x)))
        return self

    def predict(self, X: Any) -> Array:
        """A number for each row, in the units of y.

        Args:
            X: Rows [N, *F] as in `fit`.

        Returns:
            Predictions [N], or [N, K].
        """
        said: Array = self._told(X).to_numpy()
        return said[:, 0] if said.shape[1] == 1 else said


#: What help() says of both.
_HELP = """
    Data frames may hold text, categories, dates and blanks. What no parameter says is proposed as
    `workbench new` proposes it. `fit` searches on training and validation rows, compares the best
    configurations over seeds, and opens no test set: `score` rows of your own, or `cross_val_score`.

    Fitted, it has `classes_` (a classifier), `n_features_in_`, `feature_names_in_` (of a data frame),
    `model_`, `best_params_`, `best_score_` (on the validation rows) and, with a home, `result_`.

    Args:
        family: The kind of network; this and the next nine as in a study file, fixed or an axis (`wb.axis`,
            `wb.choices`).
        depth: Hidden layers.
        width: Units of each hidden layer.
        activation: After each hidden layer.
        optimizer: Any optimizer of optax, by its name.
        learning_rate: Before the schedule.
        l2: Weight of half the squared weights.
        dropout: Probability of dropping a hidden unit.
        epochs: Of each trial.
        batch_size: Rows in one update.
        trials: The budget of the search.
        seeds: How often each finalist is trained again.
        metric: By which configurations are compared.
        settings: Further settings by name, as `create_study` takes them.
        validation_fraction: Share of the rows that trials are judged by.
        random_state: Of search and of the rows that validate: a number, or as scikit-learn takes it.
        home: Where everything is recorded, for every command; None: nothing is kept.
"""
for _estimator in (Classifier, Regressor):
    _estimator.__doc__ = f"{_estimator.__doc__}{_HELP}"


@cache
def _room() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="workbench-")


def _workshop() -> Path:
    """A home for this process, gone when it ends: what was compiled serves the next fit."""
    return Path(_room().name)


def _searched(study: Study) -> tuple[Predictor, Mapping[str, Any], float]:
    """The chosen model, its parameters and its validation score; nothing is recorded."""
    locations = resolve(home=str(_workshop()), environ={})
    study = identified(study, locations).study
    folder = locations.study(study.id)
    here = enter(study, locations, _silent)
    try:
        tried = search_of(study, here, partial(jobs.submit, here.engine), _silent)
        tried.foresee()
        for _ in tried.rounds():
            pass
        chosen: Selection = freeze(study, here, tried, folder / "model", _silent)
        return load(folder / "model"), chosen.params, chosen.validation
    finally:
        here.journal.close()
        for made in (folder, study.path.parent):
            rmtree(made, ignore_errors=True)


def _is_mixed(x: Any) -> bool:
    """Whether a data frame holds more than numbers."""
    numbers = pd.api.types.is_numeric_dtype
    return isinstance(x, pd.DataFrame) and not all(numbers(kind) for kind in x.dtypes)


def _indicates(y: Any) -> bool:
    """Whether y [N, K] says of several labels whether rows have them. Raises ValueError for other columns."""
    values = np.asarray(y)
    if values.ndim < 2 or values.shape[1] == 1:
        return False
    if values.ndim > 2 or values.dtype.kind not in "biuf" or not np.isin(values, (0, 1)).all():
        raise ValueError(
            f"y has the shape {values.shape}; give classes [N], or zeros and ones [N, K] of labels"
        )
    return True


def _weights(given: Any, rows: int) -> Array | None:
    """Weights that tell rows apart, [N]. Raises ValueError."""
    if given is None:
        return None
    weight = np.asarray(given, np.float64)
    if weight.shape != (rows,):
        raise ValueError(f"sample_weight.shape == {weight.shape}, expected ({rows},): a number for each row")
    if not np.isfinite(weight).all() or (weight < 0).any() or not weight.any():
        raise ValueError("sample_weight holds NaN, infinity or negative numbers, or nothing above zero")
    return uneven(weight)


def _given(y: Any) -> Any:
    if y is None:
        raise ValueError("the estimator requires y to be passed, but the target y is None")
    return y


def _silent(text: str) -> None:
    del text
