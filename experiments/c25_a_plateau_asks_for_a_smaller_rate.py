"""Dividing the learning rate by ten on a plateau lowers the loss further.

Claim    Where the loss no longer falls, a learning rate divided by ten lets it fall further.
                                                                                               [catalogue C25]
Source   Perceptron to MLP.
Judged   on the training loss of the digits after 60 epochs with dropout, whose noise keeps descent from
         settling, each schedule at the best of five learning rates (by the median over seeds): what the
         plateau schedule is below a constant rate, in doublings over 20 seeds. Cosine is reported beside
         it.
"""

from pathlib import Path

import numpy as np

import workbench as wb

STUDY = Path(__file__).parents[1] / "studies" / "lesson-digits.toml"
RATES = (0.03, 0.1, 0.3, 0.6, 1.0)


def run(seeds: int = 20, praised: str = "plateau", other: str = "constant") -> wb.Verdict:
    study = wb.vary(
        wb.read_study(STUDY), name="lesson-plateau", depth=1, epochs=60, batch_size=8, dropout=0.3
    )
    loss = {
        name: wb.tuned(wb.vary(study, schedule=name), RATES, seeds=seeds).train_loss
        for name in dict.fromkeys((other, praised, "cosine"))
    }
    figure = wb.lines(
        1 + np.arange(loss[other].shape[1]), loss, log_y=True, title="When the rate falls, so does the loss",
        x_label="epochs", y_label="training loss, each at its own best learning rate",
    )  # fmt: skip
    return wb.verdict(
        np.log2(loss[other][:, -1] / loss[praised][:, -1]), figure=figure,
        unit="doublings that the training loss is lower with the plateau schedule",
        **{f"loss_{name}": np.median(values[:, -1]) for name, values in loss.items()},
    )  # fmt: skip
