"""Momentum gets further in the same epochs.

Claim    Momentum gets further than plain gradient descent in the same epochs.                 [catalogue C19]
Source   Regression to neural networks; Perceptron to MLP.
Judged   on the training loss of the digits after 20 epochs, with both at their own best of seven learning
         rates: by how many halvings momentum is ahead, over 20 seeds.
"""

from pathlib import Path

import numpy as np

import workbench as wb

STUDY = Path(__file__).parents[1] / "studies" / "lesson-digits.toml"
RATES, DECAY = (0.003, 0.01, 0.03, 0.1, 0.3, 0.6, 1.0), 0.9


def run(seeds: int = 20, decay: float = DECAY) -> wb.Verdict:
    study = wb.vary(wb.read_study(STUDY), name="lesson-momentum", epochs=20)
    plain = wb.tuned(study, RATES, seeds=seeds).train_loss
    pushed = wb.tuned(wb.vary(study, optimizer="momentum", momentum=decay), RATES, seeds=seeds).train_loss
    figure = wb.lines(
        1 + np.arange(plain.shape[1]), {"plain": plain, "momentum": pushed}, log_y=True,
        title="The same descent, with and without a memory of its speed", x_label="epochs",
        y_label="training loss, each at its own best learning rate",
    )  # fmt: skip
    return wb.verdict(
        np.log2(plain[:, -1] / pushed[:, -1]), unit="halvings of the training loss that momentum is ahead",
        figure=figure, loss_plain=np.median(plain[:, -1]), loss_momentum=np.median(pushed[:, -1]),
    )  # fmt: skip
