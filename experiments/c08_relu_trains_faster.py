"""ReLU trains faster than sigmoid and tanh in deep nets.

Claim    Deep nets of ReLU units reach a loss in fewer epochs than nets of sigmoid or tanh units do.
                                                                                              [catalogue C08]
Source   Regression to neural networks; Perceptron to MLP.
Judged   on the epochs that six layers need for a training loss of 0.1, each activation at the best of five
         learning rates (chosen by the median over seeds). A run that is not there after 40 epochs counts as
         one that needs 41, the fewest it can, and the share of such runs is told. The effect is the smaller
         of the two leads, in doublings, paired over 20 seeds.
"""

from pathlib import Path

import numpy as np

import workbench as wb

STUDY = Path(__file__).parents[1] / "studies" / "lesson-digits.toml"
RATES, LOSS, EPOCHS = (0.01, 0.03, 0.1, 0.3, 1.0), 0.1, 40


def run(seeds: int = 20, fast: str = "relu", slow: tuple[str, ...] = ("tanh", "sigmoid")) -> wb.Verdict:
    study = wb.vary(wb.read_study(STUDY), depth=6, epochs=EPOCHS)
    losses, needed = {}, {}
    for activation in (fast, *slow):
        runs = wb.tuned(
            wb.vary(study, activation=activation), RATES, seeds=seeds, by=lambda runs: runs.epochs_to(LOSS)
        )
        losses[activation], needed[activation] = runs.train_loss, runs.epochs_to(LOSS)
    lead = np.min([np.log2(needed[other] / needed[fast]) for other in slow], axis=0)
    figure = wb.lines(
        1 + np.arange(losses[fast].shape[1]), losses, title="Six layers, each at its own best learning rate",
        x_label="epochs", y_label="training loss", log_y=True, level=(LOSS, "to be reached"),
    )  # fmt: skip
    facts = {f"epochs_{name}": np.median(epochs) for name, epochs in needed.items()}
    facts |= {f"not_there_{name}": np.mean(epochs > EPOCHS) for name, epochs in needed.items()}
    return wb.verdict(lead, unit="smaller lead of ReLU, in doublings of epochs", figure=figure, **facts)
