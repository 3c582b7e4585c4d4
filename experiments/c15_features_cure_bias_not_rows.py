"""Features cure high bias, more rows do not.

Claim    A model that is too stiff gets better with more features or a smaller penalty, not with more rows.
                                                                                               [catalogue C15]
Source   Regression to neural networks.
Judged   on a noisy sine with 60 rows: doublings by which the error falls from degree 1 to 5, minus those
         from 60 to 960 rows at degree 1, over 20 seeds. The claim asks for more than one. What a smaller
         penalty gives at degree 5 is reported beside it.
"""

import numpy as np
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures

import workbench as wb

FEW, MANY, NOISE, FRESH = 60, 960, 0.3, 2_000
DEGREES, FREE, PENALIZED = (1, 2, 3, 4, 5, 6, 7, 8, 9), 1e-8, 100.0


def run(seeds: int = 20, cured: int = 5) -> wb.Verdict:
    few = np.array([[_error(seed, degree, FEW, FREE) for degree in DEGREES] for seed in range(seeds)])
    many = np.array([[_error(seed, degree, MANY, FREE) for degree in DEGREES] for seed in range(seeds)])
    tied = np.array([_error(seed, 5, FEW, PENALIZED) for seed in range(seeds)])
    stiff = few[:, 0]
    by_features = np.log2(stiff / few[:, DEGREES.index(cured)])
    by_rows = np.log2(stiff / many[:, 0])
    figure = wb.lines(
        DEGREES, {f"{FEW} rows": few, f"{MANY} rows": many}, log_y=True,
        title="A straight line stays wrong however many rows it sees", x_label="degree of the polynomial",
        y_label="root mean squared error on new rows, against the true curve",
    )  # fmt: skip
    return wb.verdict(
        by_features - by_rows, beyond=1.0, figure=figure,
        unit="doublings that features gain more than rows do", by_features=by_features.mean(),
        by_rows=by_rows.mean(), by_a_smaller_penalty=np.log2(tied / few[:, DEGREES.index(5)]).mean(),
    )  # fmt: skip


def _error(seed: int, degree: int, rows: int, penalty: float) -> float:
    """Of ridge regression on powers of x, on new rows without noise. Fewer rows are the first of more."""
    draw = np.random.default_rng(seed)
    x = draw.uniform(-1.0, 1.0, MANY)[:rows, None]
    y = np.sin(np.pi * x[:, 0]) + NOISE * draw.normal(size=MANY)[:rows]
    new = np.random.default_rng(10_000 + seed).uniform(-1.0, 1.0, FRESH)[:, None]
    model = make_pipeline(PolynomialFeatures(degree), Ridge(penalty, solver="svd")).fit(x, y)
    return float(np.sqrt(np.mean((model.predict(new) - np.sin(np.pi * new[:, 0])) ** 2)))
