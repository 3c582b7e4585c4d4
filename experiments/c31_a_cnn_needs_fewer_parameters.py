"""A convolutional net reaches an image score with fewer parameters than a dense one.

Claim    On images, a convolutional net reaches a score with far fewer parameters than a dense net.
                                                                                               [catalogue C31]
Source   Regression to neural networks.
Judged   on 6,000 images of MNIST after 8 epochs, if the folder that WORKBENCH_DATA names holds mnist.npz;
         else on the 8x8 digits after 20, and that is said: the parameters of the smallest dense net (one
         hidden layer, widths 8 to 256) whose validation accuracy is that of a small convolutional net or
         better, in doublings of the latter's parameters; twice the widest stands for none. Over 20 seeds; the
         claim asks for more than one. What the digits say stands beside it: of 64 pixels little is local.
"""

import os
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

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
blocks   = {blocks}
kernel   = 3
channels = 8
width    = {width}
[optimizer]
learning_rate = 0.003
[training]
epochs     = {epochs}
batch_size = 32
"""
#: Images of MNIST that are taken, the first ones.
ROWS = 6_000


class Found(NamedTuple):
    """What one set of images says."""

    scores: np.ndarray  # [S, widths] of the dense nets
    sizes: np.ndarray  # [widths] their parameters
    goal: np.ndarray  # [S] of the convolutional net
    parameters: int  # of the convolutional net

    @property
    def doublings(self) -> np.ndarray:
        """Of the convolutional net's parameters, up to the smallest dense net that is as good, [S]."""
        reached = self.scores >= self.goal[:, None]
        needed = np.where(reached.any(axis=1), self.sizes[reached.argmax(axis=1)], 2.0 * self.sizes[-1])
        return np.log2(needed / self.parameters)


def run(seeds: int = 20, channels: int = 8, widths: tuple[int, ...] = WIDTHS) -> wb.Verdict:
    digits = load_digits()
    small = STUDY.format(blocks=1, width=16, epochs=20)
    found = _compared(digits.images / 16.0, digits.target, small, seeds, channels, widths)
    facts = {"digits_doublings": found.doublings.mean()}
    if (file := Path(os.environ.get("WORKBENCH_DATA", ".")) / "mnist.npz").exists():
        with np.load(file) as mnist:
            images, labels = mnist["x_train"][:ROWS] / 255.0, mnist["y_train"][:ROWS].astype(np.int64)
        found = _compared(images, labels, STUDY.format(blocks=2, width=32, epochs=8), seeds, channels, widths)
        facts["mnist_doublings"] = found.doublings.mean()
    else:
        print("WORKBENCH_DATA names no folder with mnist.npz: MNIST is left out", file=sys.stderr)
    figure = wb.lines(
        found.sizes, {"dense": found.scores}, log_x=True,
        level=(float(np.median(found.goal)), f"convolutional, {found.parameters:,} parameters"),
        title="What a dense net pays for the score of a convolutional one",
        x_label="parameters of the dense net", y_label="validation accuracy",
    )  # fmt: skip
    return wb.verdict(
        found.doublings, beyond=1.0, figure=figure,
        unit="doublings of parameters that a dense net needs",
        convolutional_parameters=found.parameters, convolutional_accuracy=found.goal.mean(),
        best_dense_accuracy=found.scores.mean(axis=0).max(), **facts,
    )  # fmt: skip


def _compared(
    images: np.ndarray, labels: np.ndarray, study: str, seeds: int, channels: int, widths: tuple[int, ...]
) -> Found:
    """A convolutional net and dense ones on images [N, H, W]."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        np.savez(place / "images.npz", x=images[..., None], y=labels)
        np.savez(place / "rows.npz", x=images.reshape(len(images), -1), y=labels)
        (place / "images.toml").write_text(study)
        (place / "rows.toml").write_text(study.replace("images.npz", "rows.npz").replace('"cnn"', '"mlp"'))
        convolved = wb.train(wb.vary(wb.read_study(place / "images.toml"), channels=channels), seeds=seeds)
        rows = wb.vary(wb.read_study(place / "rows.toml"), depth=1)
        dense = [wb.train(wb.vary(rows, width=width), seeds=seeds) for width in widths]
    return Found(
        scores=np.stack([runs.validation_score[:, -1] for runs in dense], axis=1),
        sizes=np.array([_parameters(runs) for runs in dense]),
        goal=convolved.validation_score[:, -1],
        parameters=_parameters(convolved),
    )


def _parameters(runs: wb.Runs) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(runs.params[0]))
