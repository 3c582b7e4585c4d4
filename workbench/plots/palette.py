"""Colors of classes and of signed numbers, told apart with any color vision; classes have marks as well."""

from __future__ import annotations

import numpy as np
from matplotlib.colors import LinearSegmentedColormap, to_rgb

from workbench.plots.style import BLUE, ORANGE, VERMILION
from workbench.types import Array

__all__ = ["CLASS_COLORS", "CLASS_MARKS", "DIVERGING", "blend"]

#: Okabe and Ito's, as many classes as a picture with colored classes may have.
CLASS_COLORS = (BLUE, ORANGE, "#009E73", "#CC79A7", "#56B4E9", VERMILION, "#a89c00", "#5f6770")
CLASS_MARKS = ("o", "s", "^", "D", "v", "P", "X", "p")
#: Blue below zero, white at zero, vermilion above.
DIVERGING = LinearSegmentedColormap.from_list(
    "signed", ["#00436b", BLUE, "#9fcbe6", "#fbfbfb", "#f3b98f", VERMILION, "#7d3600"]
)


def blend(color: str, strength: Array) -> Array:
    """White at strength 0, the color at 1: [*S] -> [*S, 3]."""
    share = np.asarray(strength, dtype=float)[..., np.newaxis]
    mixed: Array = 1.0 - share * (1.0 - np.array(to_rgb(color)))
    return mixed
