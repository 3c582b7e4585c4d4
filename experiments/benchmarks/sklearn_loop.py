"""Peer (c): Optuna + scikit-learn's MLPClassifier by `partial_fit`, with one `log_batch` a trial.

scikit-learn knows neither dropout, which is left out, nor RMSProp, whose place Adam without a first moment
takes. Its cosine schedule is set on the optimizer that `partial_fit` keeps.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from sklearn.metrics import log_loss
from sklearn.neural_network import MLPClassifier

from experiments.benchmarks import peer
from experiments.benchmarks.digits import Rows

__all__ = ["epochs_of"]


def epochs_of(params: Mapping[str, Any], rows: Rows, epochs: int, seed: int) -> Iterator[dict[str, float]]:
    """Train; the metrics after each epoch."""
    classes = np.unique(rows.y)
    model = MLPClassifier(
        hidden_layer_sizes=(params["width"],) * params["depth"],
        activation=params["activation"],
        solver="sgd" if params["optimizer"] == "momentum" else "adam",
        beta_1=0.0 if params["optimizer"] == "rmsprop" else 0.9,
        nesterovs_momentum=False,
        alpha=params["l2"],
        batch_size=params["batch_size"],
        learning_rate_init=params["learning_rate"],
        random_state=seed,
    )
    for epoch in range(epochs):
        model.partial_fit(rows.x, rows.y, classes=classes)
        rate = params["learning_rate"] * 0.5 * (1.0 + math.cos(math.pi * (epoch + 1) / epochs))
        model._optimizer.learning_rate_init = model._optimizer.learning_rate = rate
        out = np.nan_to_num(model.predict_proba(rows.x_validation), nan=1.0 / len(classes))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a trial that diverges says so in its loss
            loss = log_loss(rows.y_validation, out, labels=classes)
        score = float(np.mean(classes[out.argmax(axis=1)] == rows.y_validation))
        yield {"train_loss": float(model.loss_), "validation_loss": loss, "validation_accuracy": score}


if __name__ == "__main__":
    peer.main(epochs_of, batched=True, description=__doc__)
