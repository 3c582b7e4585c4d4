"""AdaGrad wins where features are sparse.

Claim    Where most features are seldom there, AdaGrad, which gives rare features larger steps, learns
         faster than plain gradient descent.                                                   [catalogue C20]
Source   Regression to neural networks; Duchi et al. 2011.
Judged   on texts as bags of words: the training loss of softmax regression after 10 epochs, each optimizer
         at the best of seven learning rates (by the median over seeds), in doublings over 20 seeds.
"""

from pathlib import Path

import numpy as np

import workbench as wb

STUDY = Path(__file__).parents[1] / "studies" / "lesson-words.toml"
RATES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)


def run(seeds: int = 20, praised: str = "adagrad", other: str = "sgd") -> wb.Verdict:
    study = wb.read_study(STUDY)
    loss = {
        name: wb.tuned(wb.vary(study, optimizer=name), RATES, seeds=seeds).train_loss
        for name in (other, praised)
    }
    figure = wb.lines(
        1 + np.arange(loss[other].shape[1]), loss, log_y=True, title="Rare words learn from larger steps",
        x_label="epochs", y_label="training loss, each at its own best learning rate",
    )  # fmt: skip
    return wb.verdict(
        np.log2(loss[other][:, -1] / loss[praised][:, -1]), figure=figure,
        unit="doublings that AdaGrad's training loss is lower",
        **{f"loss_{name}": np.median(values[:, -1]) for name, values in loss.items()},
    )  # fmt: skip
