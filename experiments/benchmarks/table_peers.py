"""The rivals of the benchmark `tables`: what a user of scikit-learn has in a few lines.

    linear         ridge regression with its penalty by cross-validation, or logistic regression
    mlp            MLPRegressor, MLPClassifier as they come
    mlp_1000       the same with max_iter=1000
    boosted        HistGradientBoosting as it comes
    boosted_tuned  the same, searched by Optuna's TPE on the training and validation rows

All of them are fitted on training and validation rows together; the tuned one is chosen on the validation
rows before, by squared error or log loss, with as many trees as scored best there. Nets and linear models
see standardized numbers, blanks filled by the median, and categories as one-hot columns; nets that predict
numbers see a standardized target. Trees see categories and blanks as they are.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from workbench.core.types import Array

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["PEERS", "Rows"]

#: Trees that are grown while the validation loss falls no more, and the most of them.
PATIENCE, MOST_TREES = 20, 1000


class Rows(NamedTuple):
    """Columns and targets of the rows that everybody has; what is no number is a pandas category."""

    train: tuple[pd.DataFrame, Array]
    validation: tuple[pd.DataFrame, Array]
    classes: bool
    seed: int
    trials: int

    @property
    def both(self) -> tuple[pd.DataFrame, Array]:
        """Training and validation rows."""
        import pandas as pd

        (x, y), (x_validation, y_validation) = self.train, self.validation
        return pd.concat([x, x_validation], ignore_index=True), np.concatenate([y, y_validation])


def _linear(rows: Rows) -> Any:
    from sklearn.linear_model import LogisticRegression, RidgeCV

    if rows.classes:
        return _prepared(rows, LogisticRegression(max_iter=5000))
    return _prepared(rows, RidgeCV(np.logspace(-3, 3, 13)))


def _mlp(**more: Any) -> Callable[[Rows], Any]:
    def fit(rows: Rows) -> Any:
        from sklearn.compose import TransformedTargetRegressor
        from sklearn.neural_network import MLPClassifier, MLPRegressor
        from sklearn.preprocessing import StandardScaler

        if rows.classes:
            return _prepared(rows, MLPClassifier(random_state=rows.seed, **more))
        net = MLPRegressor(random_state=rows.seed, **more)
        return _prepared(rows, TransformedTargetRegressor(net, transformer=StandardScaler()))

    return fit


def _boosted(rows: Rows) -> Any:
    return _trees(rows).fit(*rows.both)


def _tuned(rows: Rows) -> Any:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    (x, y), (x_validation, y_validation) = rows.train, rows.validation

    def loss(trial: optuna.Trial) -> float:
        model = _trees(
            rows,
            learning_rate=trial.suggest_float("learning_rate", 0.01, 0.3, log=True),
            max_leaf_nodes=trial.suggest_int("max_leaf_nodes", 4, 128, log=True),
            min_samples_leaf=trial.suggest_int("min_samples_leaf", 2, 100, log=True),
            l2_regularization=trial.suggest_float("l2_regularization", 1e-6, 10.0, log=True),
            max_features=trial.suggest_float("max_features", 0.3, 1.0),
            max_iter=MOST_TREES,
            early_stopping=True,
            n_iter_no_change=PATIENCE,
        ).fit(x, y, X_val=x_validation, y_val=y_validation)
        scores = np.asarray(model.validation_score_)
        trial.set_user_attr("trees", max(1, int(scores.argmax())))
        return -float(scores.max())

    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=rows.seed))
    study.enqueue_trial(
        {"learning_rate": 0.1, "max_leaf_nodes": 31, "min_samples_leaf": 20, "max_features": 1.0}
    )
    study.optimize(loss, n_trials=rows.trials)
    best = study.best_trial
    final = _trees(rows, **best.params, max_iter=best.user_attrs["trees"], early_stopping=False)
    return final.fit(*rows.both)


#: Name -> fits a model that has `predict`, and `predict_proba` where there are classes.
PEERS: dict[str, Callable[[Rows], Any]] = {
    "linear": _linear,
    "mlp": _mlp(),
    "mlp_1000": _mlp(max_iter=1000),
    "boosted": _boosted,
    "boosted_tuned": _tuned,
}


def _prepared(rows: Rows, model: Any) -> Any:
    """A model behind scikit-learn's own preparation, fitted."""
    from sklearn.compose import make_column_transformer
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    x, y = rows.both
    numbers = x.select_dtypes("number").columns
    prepare = make_column_transformer(
        (make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), numbers),
        (
            OneHotEncoder(handle_unknown="ignore", sparse_output=False),
            x.columns.difference(numbers, sort=False),
        ),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return make_pipeline(prepare, model).fit(x, y)


def _trees(rows: Rows, **more: Any) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    kind = HistGradientBoostingClassifier if rows.classes else HistGradientBoostingRegressor
    return kind(random_state=rows.seed, **more)
