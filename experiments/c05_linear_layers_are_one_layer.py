"""A chain of linear layers is one linear layer.

Claim    However many linear layers stand in a chain, one linear layer says the same.         [catalogue C05]
Source   Regression to neural networks; Perceptron to MLP.
Judged   on three trained linear layers, multiplied out to one: the largest difference of their predictions on
         validation rows, in deviations of these, is to stay below 1e-4 for 20 seeds, and the effect is by how
         many orders of magnitude it does.
"""

from pathlib import Path

import numpy as np

import workbench as wb

STUDY = Path(__file__).parents[1] / "studies" / "lesson-digits.toml"
CLOSE, LEAST = 1e-4, 1e-14  # what double precision leaves


def run(seeds: int = 20, activation: str = "linear") -> wb.Verdict:
    study = wb.vary(wb.read_study(STUDY), activation=activation, depth=3, learning_rate=0.02)
    deep = wb.train(study, seeds=seeds)
    flat = wb.train(wb.vary(study, family="softmax", learning_rate=0.3), seeds=seeds)
    x = np.asarray(deep.fold.validation.x, np.float64)
    apart = []
    for params in deep.params:
        layers = [params[name] for name in sorted(params)]  # hidden_00, hidden_01, hidden_02, out
        product, bias = np.eye(x.shape[1]), np.zeros(x.shape[1])
        h = x
        for layer in layers:
            weight, offset = np.asarray(layer["weight"], np.float64), np.asarray(layer["bias"], np.float64)
            product, bias = weight @ product, weight @ bias + offset
            z = h @ weight.T + offset
            h = np.maximum(z, 0.0) if activation == "relu" and layer is not layers[-1] else z
        apart.append(np.abs(h - (x @ product.T + bias)).max() / h.std())
    figure = wb.lines(
        1 + np.arange(deep.validation_loss.shape[1]),
        {"three linear layers": deep.validation_loss, "one": flat.validation_loss},
        title="Three linear layers learn what one learns", x_label="epochs", y_label="validation loss",
        log_y=True,
    )  # fmt: skip
    return wb.verdict(
        np.log10(CLOSE / np.maximum(apart, LEAST)), figure=figure,
        unit="orders of magnitude that the largest difference of the predictions is below 1e-4",
        best_loss_of_three=np.median(deep.validation_loss.min(axis=1)),
        best_loss_of_one=np.median(flat.validation_loss.min(axis=1)),
    )  # fmt: skip
