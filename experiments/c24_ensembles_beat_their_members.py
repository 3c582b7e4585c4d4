"""Averaging several initializations beats the average single model.

Claim    The average of several nets that differ in their initialization predicts better than one of them
         does on average.                                                                     [catalogue C24]
Source   Perceptron to MLP; Hansen & Salamon 1990.
Judged   on the validation loss of one net minus that of the average of five, over 20 seeds.
"""

from pathlib import Path

import numpy as np

import workbench as wb

STUDY = Path(__file__).parents[1] / "studies" / "lesson-digits.toml"
MEMBERS = (1, 2, 3, 5)


def run(seeds: int = 20, members: tuple[int, ...] = MEMBERS) -> wb.Verdict:
    study = wb.vary(wb.read_study(STUDY), name="lesson-ensemble", epochs=30)
    loss = {
        count: wb.train(wb.vary(study, ensemble=count), seeds=seeds).validation_loss[:, -1]
        for count in dict.fromkeys(members)
    }
    figure = wb.strip(
        {f"{count} net{'s' if count > 1 else ''}": values for count, values in loss.items()},
        title="More nets, averaged, predict better", x_label="validation loss",
    )  # fmt: skip
    single, many = loss[members[0]], loss[members[-1]]
    return wb.verdict(
        single - many, unit="what averaging five nets takes off the validation loss", figure=figure,
        one_net=np.mean(single), average=np.mean(many),
    )  # fmt: skip
