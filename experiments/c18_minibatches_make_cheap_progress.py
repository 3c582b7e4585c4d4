"""Minibatch descent makes cheaper progress than batch descent and than one example at a time.

Claim    For the same number of gradients of examples, minibatches get further than the whole batch and than
         single examples.                                                                      [catalogue C18]
Source   Regression to neural networks; Perceptron to MLP.
Judged   on the gradients of examples that a training loss of 0.1 takes on the digits, each way at the best
         of six learning rates (by the median over seeds). A run that is not there after 40 passes counts as
         one that needs 41, and the share of such runs is told. The effect is the smaller lead of batches of
         32, in doublings, over 20 seeds.
"""

from pathlib import Path

import numpy as np

import workbench as wb

STUDY = Path(__file__).parents[1] / "studies" / "lesson-digits.toml"
RATES, LOSS, EPOCHS = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0), 0.1, 40


def run(seeds: int = 20, praised: int | str = 32, others: tuple[int | str, ...] = (1, "all")) -> wb.Verdict:
    study = wb.vary(wb.read_study(STUDY), name="lesson-progress", depth=1, epochs=EPOCHS)
    losses, needed = {}, {}
    for size in (praised, *others):
        runs = wb.tuned(wb.vary(study, batch_size=size), RATES, seeds=seeds, by=_epochs)
        losses[size], needed[size] = runs.train_loss, _epochs(runs)
    lead = np.min([np.log2(needed[size] / needed[praised]) for size in others], axis=0)
    names = {
        size: {1: "one at a time", "all": "whole batch"}.get(size, f"batches of {size}") for size in losses
    }
    figure = wb.lines(
        1 + np.arange(losses[praised].shape[1]), {names[size]: loss for size, loss in losses.items()},
        title="The same gradients, taken one, 32 or all at a time", log_y=True, level=(LOSS, "to be reached"),
        x_label="gradients of examples, in passes over the training rows", y_label="training loss",
    )  # fmt: skip
    of = {size: names[size].replace(" ", "_") for size in needed}
    facts = {f"passes_{of[size]}": np.median(epochs) for size, epochs in needed.items()}
    facts |= {f"not_there_{of[size]}": np.mean(epochs > EPOCHS) for size, epochs in needed.items()}
    return wb.verdict(lead, unit="smaller lead of minibatches, in doublings", figure=figure, **facts)


def _epochs(runs: wb.Runs) -> np.ndarray:
    """Passes until the loss is at LOSS, [S], between two points of the curve; 41 for more than 40."""
    loss = runs.train_loss
    before = np.concatenate([np.full((len(loss), 1), np.log(10.0)), loss[:, :-1]], axis=1)
    reached = loss <= LOSS
    at = reached.argmax(axis=1)[:, None]
    high, low = (np.take_along_axis(part, at, axis=1)[:, 0] for part in (before, loss))
    part = np.log(high / LOSS) / np.log(high / np.minimum(low, LOSS))
    return np.where(reached.any(axis=1), at[:, 0] + part, 1.0 + loss.shape[1])
