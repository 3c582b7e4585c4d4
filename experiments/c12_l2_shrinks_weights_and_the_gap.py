"""L2 makes weights smaller and closes the gap between training and validation.

Claim    A penalty on squared weights makes them smaller and brings the validation loss nearer to the training
         loss.                                                                                [catalogue C12]
Source   Regression to neural networks.
Judged   on the gap (validation minus training loss after the last epoch) without a penalty minus the gap with
         L2 of 0.003, over 20 seeds; the norm of the weights is reported beside it.
"""

from pathlib import Path

import numpy as np

import workbench as wb

STUDY = Path(__file__).parents[1] / "studies" / "lesson-digits.toml"
STRENGTHS = (0.0, 3e-4, 1e-3, 3e-3, 1e-2)
JUDGED = 3e-3


def run(seeds: int = 20, strengths: tuple[float, ...] = STRENGTHS, judged: float = JUDGED) -> wb.Verdict:
    study = wb.vary(wb.read_study(STUDY), width=128, name="lesson-l2")
    gap, norm = {}, {}
    for strength in strengths:
        runs = wb.train(wb.vary(study, l2=strength), seeds=seeds)
        gap[strength] = runs.validation_loss[:, -1] - runs.train_loss[:, -1]
        norm[strength] = np.array([_norm(params) for params in runs.params])
    figure = wb.strip(
        {f"L2 {strength:g}": values for strength, values in gap.items()},
        title="The stronger the penalty, the smaller the gap",
        x_label="validation loss minus training loss after 40 epochs", level=(0.0, "no gap"),
    )  # fmt: skip
    return wb.verdict(
        gap[strengths[0]] - gap[judged], unit="what the penalty takes off the gap", figure=figure,
        norm_without=norm[strengths[0]].mean(), norm_with=norm[judged].mean(),
    )  # fmt: skip


def _norm(params: dict[str, dict[str, np.ndarray]]) -> float:
    """Of all weights together; biases are not penalized."""
    return float(np.sqrt(sum(np.sum(np.square(layer["weight"])) for layer in params.values())))
