"""An LSTM carries information over many steps where a plain recurrent net does not.

Claim    Two numbers, marked somewhere in a long sequence, are added by an LSTM and not by a plain recurrent
         net.                                                                                  [catalogue C32]
Source   Regression to neural networks; Hochreiter & Schmidhuber 1997.
Judged   on the adding problem over 50 and 100 steps, where answering 1 has a mean squared error of 1/6:
         after equal training, the validation error of the plain net minus that of the LSTM over 100 steps,
         in parts of 1/6, over 20 seeds. The claim asks for more than a half.
"""

import tempfile
from pathlib import Path

import numpy as np

import workbench as wb

FLOOR, LENGTHS, BEYOND = 1.0 / 6.0, (50, 100), 0.5
STUDY = """
name = "lesson-adding"
[data]
source = "adding-100"
scale  = "none"
[model]
family = "lstm"
width  = 16
[optimizer]
name          = "adam"
learning_rate = 0.02
schedule      = "cosine"
clip          = 1.0
[training]
epochs     = 4
batch_size = 64
[select]
metric = "mse"
"""


def run(seeds: int = 20, remembers: str = "lstm", forgets: str = "rnn") -> wb.Verdict:
    error = {}
    with tempfile.TemporaryDirectory() as folder:
        for length in LENGTHS:
            path = Path(folder) / f"adding-{length}.toml"
            path.write_text(STUDY.replace("adding-100", f"adding-{length}"))
            for family in dict.fromkeys((remembers, forgets)):
                rate = 0.02 if family == "lstm" else 0.003
                study = wb.vary(wb.read_study(path), family=family, learning_rate=rate)
                last = wb.train(study, seeds=seeds).validation_loss[:, -1]
                error[family, length] = np.nan_to_num(last, nan=1.0)  # of targets with a variance of 1
    figure = wb.strip(
        {f"{family}, {length} steps": values for (family, length), values in error.items()},
        title="What is left of the error after the same training", level=(1.0, "always answering 1"),
        x_label="validation mean squared error, in parts of 1/6",
    )  # fmt: skip
    return wb.verdict(
        error[forgets, LENGTHS[-1]] - error[remembers, LENGTHS[-1]], beyond=BEYOND, figure=figure,
        unit="validation error that the plain net has more, in parts of 1/6",
        **{f"error_{family}_{length}": values.mean() * FLOOR for (family, length), values in error.items()},
    )  # fmt: skip
