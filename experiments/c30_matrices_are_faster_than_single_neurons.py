"""The matrix form is far faster than neuron by neuron.

Claim    One product of matrices for a layer is far faster than a loop over its neurons.       [catalogue C30]
Source   Regression to neural networks; Neural networks, really understood.
Judged   on the seconds of a layer of 256 units on 64 rows in NumPy, as a matrix product and as a loop over
         its neurons for every row, measured in turn 20 times: the ratio in doublings. The claim asks for
         more than three, a factor of eight.
"""

import time
from collections.abc import Callable

import numpy as np

import workbench as wb

WIDTHS, ROWS, LEAST = (16, 32, 64, 128, 256), 64, 3.0


def run(seeds: int = 20, form: str = "matrix") -> wb.Verdict:
    first = _matrix if form == "matrix" else _neurons
    ratios = np.array(
        [[_ratio(seed, width, first) for width in WIDTHS] for seed in range(seeds)]
    )  # [S, widths]
    figure = wb.lines(
        WIDTHS, {"loop over neurons": ratios}, log_x=True, log_y=True, level=(1.0, "as fast as the product"),
        title="A layer at once, and neuron by neuron", x_label="units in the layer, and inputs",
        y_label="seconds of the loop, in seconds of the matrix product",
    )  # fmt: skip
    return wb.verdict(
        np.log2(ratios[:, -1]), beyond=LEAST, timed=True, figure=figure,
        unit="doublings of time that the loop takes", times_slower=np.median(ratios[:, -1]),
    )  # fmt: skip


def _matrix(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    return np.tanh(x @ weight.T)


def _neurons(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    return np.array([[np.tanh(np.dot(neuron, row)) for neuron in weight] for row in x])


def _ratio(seed: int, width: int, first: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> float:
    """Seconds of the loop by seconds of the other, each the shortest of three."""
    draw = np.random.default_rng(seed)
    x, weight = draw.normal(size=(ROWS, width)), draw.normal(size=(width, width)) / width**0.5
    np.testing.assert_allclose(first(x, weight), _neurons(x, weight), atol=1e-12)
    seconds = {}
    for name, layer, repeats in (("first", first, 50 if first is _matrix else 1), ("loop", _neurons, 1)):
        times = []
        for _ in range(3):
            began = time.perf_counter()
            for _ in range(repeats):
                layer(x, weight)
            times.append((time.perf_counter() - began) / repeats)
        seconds[name] = min(times)
    return seconds["loop"] / seconds["first"]
