"""Zero training error does not mean a good model.

Claim    A large enough net learns random labels by heart, and is at chance on new rows.      [catalogue C16]
Source   Perceptron to MLP; Zhang et al. 2017 (arXiv:1611.03530).
Judged   on the digits with their labels shuffled: the share of seeds' training loss that is gone after the
         last epoch, relative to ln 10, minus the validation accuracy above chance; the claim asks for more
         than 0.9 over 20 seeds.
"""

import tempfile
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

import workbench as wb

BEYOND, CHANCE = 0.9, 0.1
STUDY = """
name = "lesson-memory"
[data]
source = "digits.npz"
task   = "classification"
scale  = "minmax"
[model]
depth = 2
width = 256
[optimizer]
learning_rate = 0.003
[training]
epochs     = 120
batch_size = 64
"""


def run(seeds: int = 20, shuffled: bool = True) -> wb.Verdict:
    with tempfile.TemporaryDirectory() as folder:
        x, y = load_digits(return_X_y=True)
        labels = np.random.default_rng(0).permutation(y) if shuffled else y
        np.savez(Path(folder) / "digits.npz", x=x, y=labels)
        (Path(folder) / "study.toml").write_text(STUDY)
        runs = wb.train(wb.read_study(Path(folder) / "study.toml"), seeds=seeds)
    learned = 1.0 - runs.train_loss / np.log(10.0)
    above_chance = runs.validation_score - CHANCE
    figure = wb.lines(
        1 + np.arange(learned.shape[1]), {"learned by heart": learned, "validation": above_chance},
        title="Shuffled labels are learned by heart and teach nothing", x_label="epochs",
        y_label="share of the training loss gone; validation accuracy above chance",
        level=(0.0, "nothing"),
    )  # fmt: skip
    return wb.verdict(
        learned[:, -1] - above_chance[:, -1], beyond=BEYOND, figure=figure,
        unit="share of the training loss that is gone, minus validation accuracy above chance",
        learned=learned[:, -1].mean(), validation_accuracy=runs.validation_score[:, -1].mean(),
    )  # fmt: skip
