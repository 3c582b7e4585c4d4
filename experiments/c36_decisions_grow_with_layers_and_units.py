"""What a net can decide grows with its layers and its units.

Claim    More layers and more units make more complex decisions.                               [catalogue C36]
Source   Perceptron to MLP; Hanin & Rolnick 2019 (arXiv:1906.00904).
Judged   on ReLU nets at their start (He): the linear pieces that a random line crosses. The effect is the
         smaller of two gains in doublings, from one to four layers of 32 units and from 8 to 32 units in
         two layers, over 20 seeds of ten lines each.
"""

import numpy as np

import workbench as wb

INPUTS, LINES, POINTS, REACH = 10, 10, 5_000, 10.0
DEPTHS, WIDTHS = (1, 2, 3, 4), (8, 16, 32)


def run(seeds: int = 20, activation: str = "relu") -> wb.Verdict:
    nets = {f"{width} units": [(width,) * depth for depth in DEPTHS] for width in WIDTHS}
    pieces = {
        name: np.array([[_pieces(seed, layers, activation) for layers in shapes] for seed in range(seeds)])
        for name, shapes in nets.items()
    }
    by_layers = np.log2(pieces["32 units"][:, -1] / pieces["32 units"][:, 0])
    by_units = np.log2(pieces["32 units"][:, 1] / pieces["8 units"][:, 1])
    figure = wb.lines(
        DEPTHS, pieces, log_y=True, title="Pieces of a net's decision along a straight walk",
        x_label="hidden layers", y_label="linear pieces that a line crosses",
    )  # fmt: skip
    return wb.verdict(
        np.minimum(by_layers, by_units), unit="smaller gain in pieces, in doublings", figure=figure,
        doublings_by_layers=by_layers.mean(), doublings_by_units=by_units.mean(),
    )  # fmt: skip


def _pieces(seed: int, layers: tuple[int, ...], activation: str) -> float:
    """Linear pieces along a random line, the mean over lines: changes of who is active, and one."""
    draw = np.random.default_rng(seed)
    direction = draw.normal(size=(LINES, 1, INPUTS))
    direction /= np.linalg.norm(direction, axis=2, keepdims=True)
    a = draw.normal(size=(LINES, 1, INPUTS)) + np.linspace(-REACH, REACH, POINTS)[:, None] * direction
    changes = np.zeros((LINES, POINTS - 1), bool)
    for width in layers:
        weight = draw.normal(size=(a.shape[2], width)) * np.sqrt(2.0 / a.shape[2])
        z = a @ weight + 0.5 * draw.normal(size=width)
        active = z > 0
        if activation == "relu":
            changes |= (active[:, 1:] != active[:, :-1]).any(axis=2)
        a = np.where(active, z, 0.0) if activation == "relu" else z
    return float(1.0 + changes.sum(axis=1).mean())
