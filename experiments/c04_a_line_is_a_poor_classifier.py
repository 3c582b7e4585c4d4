"""A straight line is a poor classifier beside the S-curve.

Claim    Beside logistic regression, a straight line fitted to 0 and 1 classifies worse, because rows far
         from the border pull it away.                                                         [catalogue C04]
Source   Regression to neural networks.
Judged   on 1,000 new rows: the accuracy of logistic regression minus that of the line (yes above one half),
         for 20 random sets of 100 rows of which a tenth lies far on its right side of the border.
"""

import numpy as np
from sklearn.linear_model import LinearRegression, LogisticRegression

import workbench as wb

ROWS, FRESH, FAR = 100, 1_000, 10.0
SHARES = (0.0, 0.02, 0.05, 0.1, 0.2)
JUDGED = 0.1


def run(seeds: int = 20, judged: float = JUDGED) -> wb.Verdict:
    figures = {share: np.array([_both(seed, share) for seed in range(seeds)]) for share in {*SHARES, judged}}
    stacked = np.stack([figures[share] for share in SHARES], axis=1)  # [S, shares, 4]
    figure = wb.lines(
        100 * np.array(SHARES), {"S-curve": stacked[:, :, 0], "straight line": stacked[:, :, 1]},
        title="Rows far away pull the line and leave the S-curve",
        x_label="rows far from the border, percent",
        y_label="accuracy on new rows",
    )  # fmt: skip
    curve, line, curve_loss, line_loss = figures[judged].T
    return wb.verdict(
        curve - line, unit="accuracy that the S-curve is ahead", figure=figure,
        accuracy_of_the_line=line.mean(),
        accuracy_of_the_curve=curve.mean(), log_loss_of_the_line=line_loss.mean(),
        log_loss_of_the_curve=curve_loss.mean(),
    )  # fmt: skip


def _both(seed: int, share: float) -> tuple[float, float, float, float]:
    """Accuracy of S-curve and line on new rows, and their log losses."""
    draw = np.random.default_rng(seed)
    x, y = _rows(draw, ROWS, share)
    fresh, truth = _rows(draw, FRESH, share)
    curve = LogisticRegression(C=np.inf, max_iter=1_000).fit(x, y).predict_proba(fresh)[:, 1]
    line = LinearRegression().fit(x, y).predict(fresh)
    accuracies = [float(((said > 0.5) == truth).mean()) for said in (curve, line)]
    losses = []
    for said in (curve, line):
        share_of_yes = np.clip(said, 0.01, 0.99)  # a line says less than 0 and more than 1
        losses.append(float(-np.log(np.where(truth == 1, share_of_yes, 1.0 - share_of_yes)).mean()))
    return accuracies[0], accuracies[1], losses[0], losses[1]


def _rows(draw: np.random.Generator, count: int, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Incomes [N, 1] and purchases [N]: a border at 0 with noise, and some incomes far above it."""
    x = draw.normal(size=count)
    y = (x + 0.5 * draw.logistic(size=count) > 0).astype(int)
    far = draw.random(count) < share
    return np.where(far, FAR + x, x)[:, None], np.where(far, 1, y)
