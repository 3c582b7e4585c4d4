"""Different starts reach different minima; a convex loss does not care.

Claim    Nets that start from different weights end in different minima, while a convex model always ends in
         the same one.                                                                        [catalogue C23]
Source   Perceptron to MLP.
Judged   on how far the predictions of two starts lie apart after 2,000 steps (root mean square difference of
         the probabilities of neighbours among 20 seeds): a net of 32 ReLU units against one of 32 linear
         units, which is softmax regression with random starts. The effect is the net's distance minus ten
         times the other's.
"""

from pathlib import Path

import jax
import numpy as np

import workbench as wb

STUDY = Path(__file__).parents[1] / "studies" / "lesson-digits.toml"
FACTOR = 10.0
#: Batch gradient descent with momentum, long enough that neither model moves any more.
CONVERGED = {"optimizer": "momentum", "learning_rate": 0.1, "batch_size": "all", "epochs": 2000}


def run(seeds: int = 20, net: str = "mlp") -> wb.Verdict:
    study = wb.vary(wb.read_study(STUDY), name="lesson-starts", l2=1e-3, **CONVERGED)
    runs = wb.train(wb.vary(study, family=net, depth=1), seeds=seeds)
    # A net whose hidden units are linear has nothing but saddles beside its one minimum; a softmax starts
    # from zeros, so that its seeds could not differ at all.
    convex = wb.train(wb.vary(study, family="mlp", depth=1, activation="linear"), seeds=seeds)
    distance = {"net": _apart(runs), "convex": _apart(convex)}
    figure = wb.strip(
        {"net of ReLU units": distance["net"], "linear units, one minimum": distance["convex"]},
        title="How far two starts end from each other", log=True,
        x_label="root mean square of the difference in probability",
    )  # fmt: skip
    return wb.verdict(
        distance["net"] - FACTOR * distance["convex"], figure=figure,
        unit="the net's distance minus ten times the convex model's",
        net=distance["net"].mean(), convex=distance["convex"].mean(),
    )  # fmt: skip


def _apart(runs: wb.Runs) -> np.ndarray:
    """Of each seed and the next one, [S]."""
    x = np.asarray(runs.fold.validation.x)
    shares = []
    for params in runs.params:
        z = x @ params["hidden_00"]["weight"].T + params["hidden_00"]["bias"]
        h = z if runs.recipe.activations == ("linear",) else np.maximum(z, 0.0)
        shares.append(
            np.asarray(jax.nn.softmax(h @ params["out"]["weight"].T + params["out"]["bias"], axis=1))
        )
    all_ = np.stack(shares)
    return np.sqrt(np.mean((all_ - np.roll(all_, 1, axis=0)) ** 2, axis=(1, 2)))
