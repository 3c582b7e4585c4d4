"""Pictures of an outcome: pure functions from an `Outcome` to a matplotlib `Figure`, and ways to keep them.

No global state of pyplot is touched, so figures can be drawn anywhere and are freed like any value.
This package is the only home of matplotlib.
"""

from __future__ import annotations

import base64
import io
import warnings
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image  # matplotlib brings it

from workbench.core.records import Outcome
from workbench.evaluation.facts import best_trial
from workbench.evaluation.plots.curves import learning_curves, trial_curves
from workbench.evaluation.plots.front import front, score_by_size
from workbench.evaluation.plots.labels import label_counts
from workbench.evaluation.plots.parallel import parallel_coordinates
from workbench.evaluation.plots.ranking import ranking
from workbench.evaluation.plots.scores import calibration, confusion_matrix, residuals
from workbench.evaluation.plots.search import importance_bars, search_history, slices

__all__ = [
    "Figure",
    "all_figures",
    "calibration",
    "confusion_matrix",
    "data_uri",
    "front",
    "importance_bars",
    "label_counts",
    "learning_curves",
    "parallel_coordinates",
    "png",
    "ranking",
    "residuals",
    "save",
    "score_by_size",
    "search_history",
    "slices",
    "trial_curves",
]

_DPI = 170  # 4.8 inches become 816 pixels: sharp on a telephone and on paper


def all_figures(outcome: Outcome, importances: Mapping[str, float] | None = None) -> dict[str, Figure]:
    """The pictures that make sense for this outcome, by name, in the order in which a report shows them."""
    figures: dict[str, Figure] = {}
    if best_trial(outcome) is not None or (outcome.selection is not None and outcome.selection.seeds):
        figures["learning_curves"] = learning_curves(outcome)
    if outcome.trials:
        figures["search_history"] = search_history(outcome)
        figures["trial_curves"] = trial_curves(outcome)
    if importances:
        figures["importances"] = importance_bars(outcome, importances)
    if len(outcome.trials) > 1 and outcome.axes:
        figures["slices"] = slices(outcome)
        if len(outcome.axes) > 1 and best_trial(outcome) is not None:
            figures["parallel_coordinates"] = parallel_coordinates(outcome)
    if len(front(outcome)) > 1:
        figures["score_by_size"] = score_by_size(outcome)
    if len(outcome.outputs) and np.isfinite(outcome.outputs).all():
        if outcome.task == "classification":
            figures["confusion_matrix"] = confusion_matrix(outcome)
            figures["calibration"] = calibration(outcome)
            if len(outcome.classes) == 2 and len(np.unique(outcome.targets)) == 2:
                figures["ranking"] = ranking(outcome)
        elif outcome.task == "multilabel":
            figures["label_counts"] = label_counts(outcome)
            figures["calibration"] = calibration(outcome)
        else:
            figures["residuals"] = residuals(outcome)
    return figures


def save(figures: Mapping[str, Figure], folder: Path) -> dict[str, Path]:
    """Write each figure as `folder/NAME.png` and return the paths; the folder is made."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = {name: folder / f"{name}.png" for name in figures}
    with ThreadPoolExecutor() as packers:  # matplotlib draws on one thread, choosing colors takes another
        packed = {name: packers.submit(_packed, _pixels(figure)) for name, figure in figures.items()}
        for name, image in packed.items():
            paths[name].write_bytes(image.result())
    return paths


def png(figure: Figure) -> bytes:
    """The figure as a PNG file's bytes: 256 colors, which is a quarter of the size of all of them."""
    return _packed(_pixels(figure))


def _pixels(figure: Figure) -> Image.Image:
    buffer = io.BytesIO()
    with warnings.catch_warnings():  # a class may be named in letters that the font lacks: it shows boxes
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from font")
        figure.savefig(buffer, format="rgba", dpi=_DPI)
    width, height = (int(inches * _DPI) for inches in figure.get_size_inches())
    return Image.frombytes("RGBA", (width, height), buffer.getvalue()).convert("RGB")


def _packed(picture: Image.Image) -> bytes:
    packed = io.BytesIO()
    picture.quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(packed, "png")
    return packed.getvalue()


def data_uri(image: bytes) -> str:
    """A PNG file's bytes as an address that holds the picture itself, for `<img src=…>`."""
    return "data:image/png;base64," + base64.b64encode(image).decode("ascii")
