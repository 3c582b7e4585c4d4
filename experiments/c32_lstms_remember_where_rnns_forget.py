"""An LSTM carries information over many steps where a plain recurrent net does not.

Claim    Two numbers, marked somewhere in a long sequence, are added by an LSTM and not by a plain recurrent
         net.                                                                                  [catalogue C32]
Source   Regression to neural networks; Hochreiter & Schmidhuber 1997.
Judged   on the adding problem over 100 steps, where answering 1 has a mean squared error of 1/6: after
         equal training, the validation error of the plain net at the best of three learning rates minus
         that of the LSTM at its only one, in parts of 1/6, over 20 seeds. The claim asks for more than a
         half.
"""

from pathlib import Path

import numpy as np

import workbench as wb

STUDY = Path(__file__).parents[1] / "studies" / "lesson-adding.toml"
FLOOR, BEYOND = 1.0 / 6.0, 0.5
RATES = {"lstm": (0.02,), "rnn": (0.001, 0.003, 0.01)}


def run(seeds: int = 20, remembers: str = "lstm", forgets: str = "rnn") -> wb.Verdict:
    study = wb.read_study(STUDY)
    error = {
        (family, rate): _error(wb.vary(study, family=family, learning_rate=rate), seeds)
        for family in dict.fromkeys((remembers, forgets))
        for rate in RATES[family]
    }
    best = {
        family: min((error[family, rate] for rate in RATES[family]), key=np.median)
        for family in (remembers, forgets)
    }
    figure = wb.strip(
        {f"{family}, rate {rate:g}": values for (family, rate), values in error.items()},
        title="Two marked numbers among a hundred, added up", level=(1.0, "always answering 1"),
        x_label="validation mean squared error after the same training, in parts of 1/6",
    )  # fmt: skip
    return wb.verdict(
        best[forgets] - best[remembers], beyond=BEYOND, figure=figure,
        unit="validation error that the plain net has more, in parts of 1/6",
        **{f"error_{family}": values.mean() * FLOOR for family, values in best.items()},
    )  # fmt: skip


def _error(study: wb.Study, seeds: int) -> np.ndarray:
    """The last validation loss, [S], of targets that were scaled to a variance of 1; 1 if it diverged."""
    return np.nan_to_num(wb.train(study, seeds=seeds).validation_loss[:, -1], nan=1.0)
