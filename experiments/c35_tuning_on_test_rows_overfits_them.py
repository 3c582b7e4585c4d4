"""Tuning on test rows overfits them.

Claim    Looking at the test score again and again, and keeping what raises it, raises that score and
         nothing else.                                                                         [catalogue C35]
Source   Regression to neural networks; Blum & Hardt 2015 (arXiv:1502.04585).
Judged   with labels that nobody can predict: of 300 random guesses at 1,000 test rows those that score
         above one half are kept, and their majority is the answer. The effect is its test accuracy minus
         its accuracy on 1,000 new rows, over 20 seeds.
"""

import numpy as np

import workbench as wb

ROWS, LOOKS = 1_000, 300
MARKS = (1, 3, 10, 30, 100, 300)


def run(seeds: int = 20, looks: int = LOOKS, peeks: bool = True) -> wb.Verdict:
    marks = [mark for mark in MARKS if mark <= looks]
    scores = np.array([_scores(seed, marks, peeks) for seed in range(seeds)])  # [S, marks, 2]
    figure = wb.lines(
        marks, {"test rows": scores[:, :, 0], "new rows": scores[:, :, 1]}, log_x=True,
        level=(0.5, "the truth"), title="A test score that is asked often enough says what one likes",
        x_label="looks at the test score", y_label="accuracy of guesses at coins",
    )  # fmt: skip
    return wb.verdict(
        scores[:, -1, 0] - scores[:, -1, 1], figure=figure,
        unit="accuracy that exists on the test rows alone",
        on_test_rows=scores[:, -1, 0].mean(), on_new_rows=scores[:, -1, 1].mean(),
    )  # fmt: skip


def _scores(seed: int, marks: list[int], peeks: bool) -> np.ndarray:
    """Accuracy of the majority after so many looks, on test rows and on new ones, [marks, 2]."""
    draw = np.random.default_rng(seed)
    labels = draw.integers(2, size=2 * ROWS) * 2 - 1  # test rows, then new ones
    guesses = draw.integers(2, size=(marks[-1], 2 * ROWS)) * 2 - 1
    score = (guesses[:, :ROWS] == labels[:ROWS]).mean(axis=1)
    # A guess that scores below one half is turned round; without peeking all stay as they are.
    kept = guesses * np.where(score < 0.5, -1, 1)[:, None] if peeks else guesses
    found = []
    for mark in marks:
        answer = np.where(kept[:mark].sum(axis=0) >= 0, 1, -1)
        right = answer == labels
        found.append([right[:ROWS].mean(), right[ROWS:].mean()])
    return np.array(found)
