"""Later layers hold what the first ones do not: shapes.

Claim    The first layer of a net answers to strokes and edges, later ones to whole shapes, so that the
         classes can be read off later layers more easily.                                     [catalogue C33]
Source   Regression to neural networks; Perceptron to MLP; Alain & Bengio 2016 (arXiv:1610.01644).
Judged   on three layers of 32 ReLU units, trained on the digits: the validation accuracy of a linear probe
         on the third layer minus that on the first, over 20 seeds.
"""

from pathlib import Path

import numpy as np
from sklearn.linear_model import RidgeClassifier

import workbench as wb

STUDY = Path(__file__).parents[1] / "studies" / "lesson-digits.toml"
DEPTH, PENALTY = 3, 1.0


def run(seeds: int = 20, epochs: int = 40, learning_rate: float = 0.1) -> wb.Verdict:
    study = wb.vary(
        wb.read_study(STUDY), name="lesson-layers", depth=DEPTH, epochs=epochs, learning_rate=learning_rate
    )
    runs = wb.train(study, seeds=seeds)
    train, validation = runs.fold.train, runs.fold.validation
    pairs = [(_layers(params, train.x), _layers(params, validation.x)) for params in runs.params]
    read = np.array([
        [_probe(a, train.y, b, validation.y) for a, b in zip(seen, new, strict=True)] for seen, new in pairs
    ])  # [S, layers + 1], the input first  # fmt: skip
    names = ["pixels", *(f"layer {k}" for k in range(1, DEPTH + 1))]
    figure = wb.strip(
        dict(zip(names, read.T, strict=True)), title="Layer by layer, the classes come apart",
        x_label="validation accuracy of a linear probe",
    )  # fmt: skip
    return wb.verdict(
        read[:, -1] - read[:, 1], unit="accuracy that a probe gains from the first layer to the third",
        figure=figure, **{f"probe_on_{name.replace(' ', '_')}": values.mean()
                          for name, values in zip(names, read.T, strict=True)},
    )  # fmt: skip


def _layers(params: dict[str, dict[str, np.ndarray]], x: np.ndarray) -> list[np.ndarray]:
    """The input and the activities of every hidden layer, [rows, units] each."""
    found = [np.asarray(x)]
    for name in sorted(params)[:-1]:  # the output is no hidden layer
        layer = params[name]
        found.append(np.maximum(found[-1] @ np.asarray(layer["weight"]).T + np.asarray(layer["bias"]), 0.0))
    return found


def _probe(seen: np.ndarray, labels: np.ndarray, new: np.ndarray, truth: np.ndarray) -> float:
    scale = seen.std() or 1.0
    probe = RidgeClassifier(PENALTY).fit(seen / scale, np.asarray(labels))
    return float((probe.predict(new / scale) == np.asarray(truth)).mean())
