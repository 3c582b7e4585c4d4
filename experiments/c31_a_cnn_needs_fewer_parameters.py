"""A convolutional net reaches an image score with fewer parameters than a dense one.

Claim    On images, a convolutional net reaches a score with far fewer parameters than a dense net.
                                                                                               [catalogue C31]
Source   Regression to neural networks.
Judged   on the 8x8 digits after 20 epochs: the parameters of the smallest dense net (one hidden layer,
         widths 8 to 256) whose validation accuracy is that of a small convolutional net or better, in
         doublings of the latter's parameters; twice the widest stands for none. Over 20 seeds; the claim
         asks for more than one.
"""

import tempfile
from pathlib import Path

import jax
import numpy as np
from sklearn.datasets import load_digits

import workbench as wb

WIDTHS = (8, 16, 32, 64, 128, 256)
STUDY = """
name = "lesson-images"
[data]
source = "images.npz"
task   = "classification"
scale  = "none"
[model]
family   = "cnn"
blocks   = 1
kernel   = 3
channels = 8
width    = 16
[optimizer]
learning_rate = 0.003
[training]
epochs     = 20
batch_size = 32
"""


def run(seeds: int = 20, channels: int = 8, widths: tuple[int, ...] = WIDTHS) -> wb.Verdict:
    digits = load_digits()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        np.savez(place / "images.npz", x=digits.images[..., None] / 16.0, y=digits.target)
        np.savez(place / "rows.npz", x=digits.data / 16.0, y=digits.target)
        (place / "images.toml").write_text(STUDY)
        (place / "rows.toml").write_text(STUDY.replace("images.npz", "rows.npz").replace('"cnn"', '"mlp"'))
        images = wb.vary(wb.read_study(place / "images.toml"), channels=channels)
        rows = wb.vary(wb.read_study(place / "rows.toml"), depth=1)
        convolved = wb.train(images, seeds=seeds)
        dense = [wb.train(wb.vary(rows, width=width), seeds=seeds) for width in widths]
    scores = np.stack([runs.validation_score[:, -1] for runs in dense], axis=1)  # [S, widths]
    sizes = np.array([_parameters(runs) for runs in dense])
    goal = convolved.validation_score[:, -1]
    reached = scores >= goal[:, None]
    needed = np.where(reached.any(axis=1), sizes[reached.argmax(axis=1)], 2.0 * sizes[-1])
    figure = wb.lines(
        sizes, {"dense": scores}, log_x=True,
        level=(float(np.median(goal)), f"convolutional, {_parameters(convolved)} parameters"),
        title="What a dense net pays for the score of a convolutional one",
        x_label="parameters of the dense net", y_label="validation accuracy after 20 epochs",
    )  # fmt: skip
    return wb.verdict(
        np.log2(needed / _parameters(convolved)), beyond=1.0, figure=figure,
        unit="doublings of parameters that a dense net needs",
        convolutional_parameters=_parameters(convolved),
        convolutional_accuracy=goal.mean(), best_dense_accuracy=scores.mean(axis=0).max(),
    )  # fmt: skip


def _parameters(runs: wb.Runs) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(runs.params[0]))
