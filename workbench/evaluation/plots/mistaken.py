"""Validation images that the model takes for something else, the most surprising ones first."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from workbench.core.types import Array
from workbench.evaluation.plots.style import NARROW, VERMILION, canvas, drawn, panel, shorten

#: Pictures that are shown, and those in a row.
MOST, IN_A_ROW = 18, 6


@drawn
def mistaken_images(
    images: Array, truths: Sequence[str], said: Sequence[str], *, of: tuple[int, int]
) -> Figure:
    """Images [n, H, W, C], n at least 1, with what each is and what the model says.

    of  how many validation images are mistaken, of how many. Each image has a scale of its own.
    """
    count = min(len(images), MOST)
    columns, rows = min(count, IN_A_ROW), -(-count // IN_A_ROW)
    cell, label = (NARROW - 0.2) / IN_A_ROW, 0.34
    side = cell - 0.08
    tall = side * images.shape[1] / images.shape[2]
    height = 0.7 + rows * (tall + label)
    figure = canvas(
        "What is it taken for?",
        f"{of[0]:,} of {of[1]:,} validation images are mistaken"
        + (f"; the {count} most surprising" if of[0] > count else ""),
        NARROW,
        height,
    )
    width = columns * cell
    axes = panel(figure, 0.1, 0.05, NARROW - 0.1 - width, 0.65)
    for i in range(count):
        row, column = divmod(i, IN_A_ROW)
        left, top = column * cell, row * (tall + label)
        axes.imshow(
            _shown(images[i]),
            extent=(left, left + side, top + tall, top),
            cmap="gray",
            interpolation="nearest",
            aspect="auto",
        )
        words = f"{shorten(truths[i], 9)} → {shorten(said[i], 9)}"
        axes.text(left + side / 2, top + tall + 0.06, words, ha="center", va="top", size=7, color=VERMILION)
    axes.set(xlim=(0, width), ylim=(rows * (tall + label), 0))
    axes.axis("off")
    return figure


def _shown(image: Array) -> Array:
    """[H, W, C] as matplotlib takes it: colors from 0 to 1, or one channel."""
    plain = np.nan_to_num(image.astype(np.float64))
    low, high = plain.min(), plain.max()
    scaled: Array = (plain - low) / (high - low) if high > low else np.zeros_like(plain)
    return scaled if image.shape[-1] == 3 else scaled.mean(axis=-1)
