"""Minibatches of 16 to 32 are a good choice.

Claim    Among batch sizes, 16 and 32 are a good choice: none is clearly better after the same epochs.
                                                                                               [catalogue C17]
Source   Understanding neural networks; Perceptron to MLP.
Judged   on the validation loss of the digits after 20 epochs, every size at the best of five learning rates
         (by the median over seeds): the better of 16 and 32 may be at most a tenth above the best other
         size, so the effect is log 1.1 minus the logarithm of their ratio, over 20 seeds.
"""

from pathlib import Path

import numpy as np

import workbench as wb

STUDY = Path(__file__).parents[1] / "studies" / "lesson-digits.toml"
SIZES, RATES, SLACK = (4, 8, 16, 32, 64, 256), (0.01, 0.03, 0.1, 0.3, 1.0), 0.1


def run(seeds: int = 20, praised: tuple[int, ...] = (16, 32), sizes: tuple[int, ...] = SIZES) -> wb.Verdict:
    study = wb.vary(wb.read_study(STUDY), name="lesson-batches", epochs=20)
    loss = {size: _last(wb.vary(study, batch_size=size), seeds) for size in sizes}
    medians = {size: float(np.median(values)) for size, values in loss.items()}
    good = min(praised, key=medians.__getitem__)
    other = min((size for size in sizes if size not in praised), key=medians.__getitem__)
    figure = wb.lines(
        sizes, {"validation loss": np.stack(list(loss.values()), axis=1)}, log_x=True, log_y=True,
        title="Each batch size at its own best learning rate", x_label="rows in a minibatch",
        y_label="validation loss after 20 epochs",
    )  # fmt: skip
    facts = {f"loss_at_{size}": median for size, median in medians.items()}
    return wb.verdict(
        np.log1p(SLACK) - np.log(loss[good] / loss[other]), figure=figure, **facts,
        unit="log 1.1 minus the log ratio of 16 or 32 to the best other size",
    )  # fmt: skip


def _last(study: wb.Study, seeds: int) -> np.ndarray:
    """The last validation loss of each seed, [S], at the best rate; at chance where it diverged."""

    def last(runs: wb.Runs) -> np.ndarray:
        return np.nan_to_num(runs.validation_loss[:, -1], nan=np.log(10.0))

    return last(wb.tuned(study, RATES, seeds=seeds, by=last))
