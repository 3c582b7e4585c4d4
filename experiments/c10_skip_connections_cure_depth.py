"""Skip connections let deep nets learn.

Claim    Residual and highway nets of many layers learn where plain ones of the same depth do not.
                                                                                               [catalogue C10]
Source   Regression to neural networks; He et al. 2015 (arXiv:1512.03385); Srivastava et al. 2015
         (arXiv:1505.00387).
Judged   on the training loss of 16 sigmoid layers after 10 epochs, each family at the best of four learning
         rates (by the median over seeds): orders of magnitude that the worse of the two is ahead of the
         plain net, over 20 seeds.
"""

from pathlib import Path

import numpy as np

import workbench as wb

STUDY = Path(__file__).parents[1] / "studies" / "lesson-digits.toml"
RATES, DEPTHS = (0.003, 0.01, 0.03, 0.1), (2, 5, 16)


def run(
    seeds: int = 20,
    plain: str = "mlp",
    skips: tuple[str, ...] = ("residual", "highway"),
    depths: tuple[int, ...] = DEPTHS,
) -> wb.Verdict:
    study = wb.vary(
        wb.read_study(STUDY), name="lesson-skip", activation="sigmoid", epochs=10, optimizer="momentum"
    )
    loss = {
        family: [_last(wb.vary(study, family=family, depth=d), seeds) for d in depths]
        for family in (plain, *skips)
    }
    deepest = {family: by_depth[-1] for family, by_depth in loss.items()}
    lead = np.min([np.log10(deepest[plain] / deepest[family]) for family in skips], axis=0)
    figure = wb.lines(
        depths, {family: np.stack(by_depth, axis=1) for family, by_depth in loss.items()},
        log_x=True, log_y=True,
        title="Sixteen plain layers stay at chance, layers with a way around do not", x_label="hidden layers",
        y_label="training loss after 10 epochs", level=(np.log(10.0), "by chance"),
    )  # fmt: skip
    facts = {f"loss_{family}": np.median(values) for family, values in deepest.items()}
    return wb.verdict(
        lead, unit="smaller lead over the plain net, in orders of magnitude", figure=figure, **facts
    )


def _last(study: wb.Study, seeds: int) -> np.ndarray:
    """The loss of each seed after the last epoch, [S]; a lane that diverges is at chance."""
    return np.fmin(wb.tuned(study, RATES, seeds=seeds).train_loss[:, -1], np.log(10.0))
