"""Different starts reach different minima; a convex loss does not care.

Claim    Nets that start from different weights end in different minima, while a convex model always ends in
         the same one.                                                                        [catalogue C23]
Source   Perceptron to MLP.
Judged   on how far the predictions of two starts lie apart (root mean square difference of the probabilities
         of neighbours among 20 seeds) after 1,000 steps and after 4,000: towards one minimum it shrinks as
         long as one trains, between two it does not. A net of 32 ReLU units against one of 32 linear units,
         which is softmax regression with random starts; the effect is by how many halvings more the linear
         one's distance shrinks, and the claim asks for more than one.
"""

from pathlib import Path

import jax
import numpy as np

import workbench as wb

STUDY = Path(__file__).parents[1] / "studies" / "lesson-digits.toml"
MARKS = (1_000, 4_000)
#: Batch gradient descent with momentum.
DESCENT = {"optimizer": "momentum", "learning_rate": 0.1, "batch_size": "all"}


def run(seeds: int = 20, activation: str = "relu") -> wb.Verdict:
    study = wb.vary(wb.read_study(STUDY), name="lesson-starts", l2=1e-3, **DESCENT)
    # A net whose hidden units are linear has nothing but saddles beside its one minimum; a softmax starts
    # from zeros, so that its seeds could not differ at all.
    models = {
        "ReLU units": wb.vary(study, depth=1, activation=activation),
        "linear units": wb.vary(study, depth=1, activation="linear"),
    }
    apart = {
        name: np.stack([_apart(wb.train(wb.vary(one, epochs=steps), seeds=seeds)) for steps in MARKS], axis=1)
        for name, one in models.items()
    }
    figure = wb.lines(
        MARKS, apart, title="Two starts of one minimum come together, those of two do not", log_x=True,
        log_y=True, x_label="steps", y_label="root mean square difference in probability",
    )  # fmt: skip
    halvings = {name: np.log2(first / last) for name, (first, last) in ((n, a.T) for n, a in apart.items())}
    return wb.verdict(
        halvings["linear units"] - halvings["ReLU units"], beyond=1.0, figure=figure,
        unit="halvings of the distance that linear units are ahead",
        halvings_linear=halvings["linear units"].mean(), halvings_relu=halvings["ReLU units"].mean(),
        distance_linear=apart["linear units"][:, -1].mean(), distance_relu=apart["ReLU units"][:, -1].mean(),
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
