"""Glorot's initialization starts deep nets better than small random numbers.

Claim    Deep nets that start from Glorot's scale learn faster than ones that start from small uniform or
         Gaussian numbers.                                                                     [catalogue C22]
Source   Perceptron to MLP; Glorot & Bengio 2010.
Judged   on the training loss of eight tanh layers after 20 epochs, each start at the best of five learning
         rates (by the median over seeds): the smaller of Glorot's leads, in doublings, over 20 seeds.
"""

from pathlib import Path

import numpy as np

import workbench as wb

STUDY = Path(__file__).parents[1] / "studies" / "lesson-digits.toml"
RATES, DEPTH = (0.01, 0.03, 0.1, 0.3, 1.0), 8
SMALL = {"uniform": 0.05, "normal": 0.05}


def run(seeds: int = 20, praised: str = "glorot_uniform", scale: float | None = None) -> wb.Verdict:
    study = wb.vary(wb.read_study(STUDY), name="lesson-starts", activation="tanh", depth=DEPTH, epochs=20)
    loss = {praised: wb.tuned(wb.vary(study, initializer=praised), RATES, seeds=seeds).train_loss}
    for name, small in SMALL.items():
        loss[f"small {name}"] = wb.tuned(
            wb.vary(study, initializer=name, init_scale=scale or small), RATES, seeds=seeds
        ).train_loss
    others = [values[:, -1] for name, values in loss.items() if name != praised]
    lead = np.min([np.log2(other / loss[praised][:, -1]) for other in others], axis=0)
    figure = wb.lines(
        1 + np.arange(loss[praised].shape[1]),
        {name.replace("_", " "): values for name, values in loss.items()},
        title="Eight layers, from three kinds of random numbers", log_y=True, x_label="epochs",
        y_label="training loss, each at its own best learning rate", level=(np.log(10.0), "by chance"),
    )  # fmt: skip
    facts = {f"loss_{name.replace(' ', '_')}": np.median(values[:, -1]) for name, values in loss.items()}
    return wb.verdict(lead, unit="smaller of Glorot's leads, in doublings", figure=figure, **facts)
