"""The validation score of the chosen trial is optimistic; the held-out score is honest.

Claim    Choosing the best of many trials by their validation score and reporting that score promises too
         much; rows that had no part in the choice tell the truth.                             [catalogue C34]
Source   Regression to neural networks; Cawley & Talbot 2010.
Judged   on 20 random splits of the digits, each with 100 classifiers of random features: the validation
         accuracy of the chosen one minus its accuracy on 1,000 rows kept for the truth, less the same of
         its score on held-out rows, so that what splits have in common falls out.
"""

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import RidgeClassifier

import workbench as wb

TRAIN, VALIDATION, HELD_OUT, TRIALS, FEATURES = 300, 150, 150, 100, 60
MARKS = (1, 2, 5, 10, 20, 50, 100)


def run(seeds: int = 20, trials: int = TRIALS) -> wb.Verdict:
    scores = np.array([_split(seed, trials) for seed in range(seeds)])  # [S, trials, 3]
    marks = [mark for mark in MARKS if mark <= trials]
    optimism, honesty = np.empty((seeds, len(marks))), np.empty((seeds, len(marks)))
    for k, mark in enumerate(marks):
        chosen = scores[np.arange(seeds), scores[:, :mark, 0].argmax(axis=1)]
        optimism[:, k], honesty[:, k] = chosen[:, 0] - chosen[:, 2], chosen[:, 1] - chosen[:, 2]
    figure = wb.lines(
        marks, {"validation score less held-out score": optimism - honesty}, log_x=True,
        level=(0.0, "no more than held-out rows say"),
        title="The more trials, the more the winner's own score promises",
        x_label="trials to choose from", y_label="accuracy promised too much, of the same split",
    )  # fmt: skip
    return wb.verdict(
        optimism[:, -1] - honesty[:, -1], figure=figure,
        unit="accuracy promised too much, beyond the held-out score",
        optimism=optimism[:, -1].mean(), held_out_error=honesty[:, -1].mean(),
    )  # fmt: skip


def _split(seed: int, trials: int) -> np.ndarray:
    """Accuracy of every classifier on validation rows, held-out rows and the rest, [trials, 3]."""
    draw = np.random.default_rng(seed)
    x, y = load_digits(return_X_y=True)
    order = draw.permutation(len(x))
    x, y = x[order] / 16.0, y[order]
    ends = np.cumsum([TRAIN, VALIDATION, HELD_OUT])
    found = []
    for _ in range(trials):
        projection = draw.normal(size=(x.shape[1], FEATURES))
        z = np.maximum(x @ projection - draw.normal(), 0.0)
        said = (
            RidgeClassifier(10.0 ** draw.uniform(-1, 2)).fit(z[: ends[0]], y[: ends[0]]).predict(z[ends[0] :])
        )
        right = said == y[ends[0] :]
        found.append([part.mean() for part in np.split(right, ends[1:] - ends[0])])
    return np.array(found)
