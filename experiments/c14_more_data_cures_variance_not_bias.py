"""More data cures high variance, not high bias.

Claim    A model that is too flexible gets better with more rows; one that is too stiff does not.
                                                                                               [catalogue C14]
Source   Regression to neural networks.
Judged   on a noisy sine: doublings by which the error of a polynomial of degree 12 falls from 30 to 480
         rows, minus those of a straight line, over 20 seeds. The claim asks for more than one.
"""

import numpy as np
from numpy.polynomial import Polynomial

import workbench as wb

SIZES, NOISE, FRESH = (30, 60, 120, 240, 480), 0.3, 2_000


def run(seeds: int = 20, flexible: int = 12, stiff: int = 1) -> wb.Verdict:
    error = {
        degree: np.array([[_error(seed, degree, size) for size in SIZES] for seed in range(seeds)])
        for degree in dict.fromkeys((stiff, 5, flexible))
    }
    fall = {degree: np.log2(values[:, 0] / values[:, -1]) for degree, values in error.items()}
    figure = wb.lines(
        SIZES, {f"degree {degree}": values for degree, values in error.items()}, log_x=True, log_y=True,
        title="More rows help where the model is too flexible", x_label="training rows",
        y_label="root mean squared error on new rows, against the true curve",
    )  # fmt: skip
    facts = {f"doublings_degree_{degree}": np.mean(values) for degree, values in fall.items()}
    return wb.verdict(
        fall[flexible] - fall[stiff], beyond=1.0, figure=figure,
        unit="doublings that the flexible model gains more than the stiff one", **facts,
    )  # fmt: skip


def _error(seed: int, degree: int, rows: int) -> float:
    """Of a least-squares polynomial, on new rows without noise. Fewer rows are the first of more."""
    draw = np.random.default_rng(seed)
    x = draw.uniform(-1.0, 1.0, max(SIZES))[:rows]
    y = np.sin(np.pi * x) + NOISE * draw.normal(size=max(SIZES))[:rows]
    new = np.random.default_rng(10_000 + seed).uniform(-1.0, 1.0, FRESH)
    fitted = Polynomial.fit(x, y, degree, domain=[-1.0, 1.0])
    return float(np.sqrt(np.mean((fitted(new) - np.sin(np.pi * new)) ** 2)))
