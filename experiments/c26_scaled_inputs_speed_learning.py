"""Scaling inputs to [0, 1] speeds learning.

Claim    Gradient descent needs fewer steps when all features are scaled to [0, 1].            [catalogue C26]
Source   Understanding neural networks.
Judged   on the wine data (features from 0.1 to 1,700) with softmax regression, raw and scaled, each at the
         best of nine learning rates: the epochs to a training loss of 0.3. A run that is not there after 200
         counts as one that needs 201, so that the lead over it is at least so large; the share of such runs
         is told. The effect is the lead in doublings, over 20 seeds.
"""

from pathlib import Path

import numpy as np
from sklearn.datasets import load_wine

import workbench as wb

STUDY = Path(__file__).parents[1] / "studies" / "wine-softmax.toml"
RATES, LOSS, EPOCHS = (1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0, 3.0), 0.3, 200


def run(seeds: int = 20, scaled: str = "minmax", raw: str = "none") -> wb.Verdict:
    study = wb.vary(
        wb.read_study(STUDY), name="lesson-scales", family="softmax", optimizer="sgd", schedule="constant",
        l2=0.0, epochs=EPOCHS, batch_size=32, patience=0, label_smoothing=0.0,
        learning_rate=0.1,
    )  # fmt: skip
    runs = {
        name: wb.tuned(wb.vary(study, scale=scale), RATES, seeds=seeds, by=lambda runs: runs.epochs_to(LOSS))
        for name, scale in {"raw": raw, "scaled": scaled}.items()
    }
    figure = wb.lines(
        1 + np.arange(EPOCHS), {name: one.train_loss for name, one in runs.items()}, log_y=True,
        title="The same descent on a long valley and on a round bowl", x_label="epochs",
        y_label="training loss, each at its own best learning rate", level=(LOSS, "to be reached"),
    )  # fmt: skip
    condition = {name: np.linalg.cond(np.cov(rows.T)) for name, rows in _features().items()}
    needed = {name: one.epochs_to(LOSS) for name, one in runs.items()}
    facts = {f"epochs_{name}": np.median(epochs) for name, epochs in needed.items()}
    facts |= {f"not_there_{name}": np.mean(epochs > EPOCHS) for name, epochs in needed.items()}
    facts |= {f"condition_{name}": value for name, value in condition.items()}
    return wb.verdict(
        np.log2(needed["raw"] / needed["scaled"]), figure=figure,
        unit="doublings of epochs that scaling saves, at least", **facts,
    )  # fmt: skip


def _features() -> dict[str, np.ndarray]:
    x = load_wine().data
    return {"raw": x, "scaled": (x - x.min(axis=0)) / np.ptp(x, axis=0)}
