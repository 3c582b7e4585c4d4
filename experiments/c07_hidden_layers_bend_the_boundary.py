"""Hidden units fit what a straight line cannot.

Claim    A hidden layer with enough units tells two rings apart, which a linear model cannot. [catalogue C07]
Source   Perceptron to MLP.
Judged   on the validation accuracy of 16 hidden units minus that of logistic regression, over 20 seeds; the
         claim asks for more than 0.3.
"""

from pathlib import Path

import numpy as np

import workbench as wb

STUDY = Path(__file__).parents[1] / "studies" / "lesson-rings.toml"
WIDTHS, BEYOND = (1, 2, 4, 8, 16), 0.3


def run(seeds: int = 20, widths: tuple[int, ...] = WIDTHS, family: str = "mlp") -> wb.Verdict:
    study = wb.read_study(STUDY)
    straight = wb.train(wb.vary(study, family="logistic"), seeds=seeds).validation_score[:, -1]
    bent = {
        width: wb.train(wb.vary(study, family=family, width=width), seeds=seeds).validation_score[:, -1]
        for width in widths
    }
    figure = wb.strip(
        {"logistic": straight} | {f"{width} hidden": scores for width, scores in bent.items()},
        title="Two rings, told apart by more and more units", x_label="validation accuracy",
        level=(0.5, "by chance"),
    )  # fmt: skip
    return wb.verdict(
        bent[widths[-1]] - straight, beyond=BEYOND, unit="gain in validation accuracy", figure=figure,
        accuracy_of_units=np.mean(bent[widths[-1]]), accuracy_of_a_line=np.mean(straight),
    )  # fmt: skip
