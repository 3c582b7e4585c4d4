"""Adam is better than RMSProp and than momentum, which it joins.

Claim    Adam, which is RMSProp with momentum, gets further than either alone.                 [catalogue C21]
Source   Regression to neural networks; Kingma & Ba 2014 (arXiv:1412.6980).
Judged   on the training loss of the digits after 20 epochs, each optimizer at the best of eight learning
         rates (by the median over seeds): the smaller of Adam's leads, in doublings, over 20 seeds.
"""

from pathlib import Path

import numpy as np

import workbench as wb

STUDY = Path(__file__).parents[1] / "studies" / "lesson-digits.toml"
RATES = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)


def run(
    seeds: int = 20, praised: str = "adam", parts: tuple[str, ...] = ("rmsprop", "momentum")
) -> wb.Verdict:
    study = wb.vary(wb.read_study(STUDY), name="lesson-adam", epochs=20)
    loss = {
        name: wb.tuned(wb.vary(study, optimizer=name), RATES, seeds=seeds).train_loss
        for name in (praised, *parts)
    }
    lead = np.min([np.log2(loss[name][:, -1] / loss[praised][:, -1]) for name in parts], axis=0)
    figure = wb.lines(
        1 + np.arange(loss[praised].shape[1]), loss, log_y=True, title="Adam beside the two that it joins",
        x_label="epochs", y_label="training loss, each at its own best learning rate",
    )  # fmt: skip
    return wb.verdict(
        lead, unit="smaller of Adam's leads, in doublings of the training loss", figure=figure,
        **{f"loss_{name}": np.median(values[:, -1]) for name, values in loss.items()},
    )  # fmt: skip
