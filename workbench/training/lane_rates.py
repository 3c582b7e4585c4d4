"""How many lanes an accelerator trains at once: as many as cost about the time of one.

Up to some number of lanes a step takes nearly the same time, since the device has units to spare; beyond it,
time grows in proportion, and a larger population only waits longer for its slowest lane. Where that is
depends on the device and on the network, so it is measured: with the lanes of a study, in the programs that
train them. Nothing is trained or compiled for the measurement alone but the program of each size that is
tried, once, and what was found is remembered beside the programs that jax keeps.

It decides how long a study takes. What it decides of the numbers is the rounding of lanes that trained in a
population of another size; a study's trials do not, see `Engine`.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Hashable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import jax

from workbench.core.files import read_remembered, replaced
from workbench.core.types import Fold
from workbench.nn.recipe import Recipe
from workbench.training.trainer import Lane

#: By how much a doubling of lanes must raise the lanes a second to be worth it. Where units are to spare it
#: nearly doubles them; where none are it adds nothing.
GROWTH = 1.15
#: Lanes a device that are tried first. Too few cost the most, too many at most their empty places.
FIRST = 64
#: In the folder in which jax keeps compiled programs.
FILE = "workbench-lanes.json"

#: Seconds of a step by the lanes of one device.
Seconds = dict[int, float]


def flat_region(seconds: Mapping[int, float]) -> int:
    """The most lanes that are worth training side by side.

    From the fewest lanes upwards, as long as each doubling raises the throughput by GROWTH or more. Sizes
    between which others were left out are judged by the mean growth a doubling. What one slow measurement
    hides, a larger size that is well above it shows again.

    Args:
        seconds: Lanes, powers of two -> seconds of a step (or of an epoch) of them all.

    Returns:
        One of the sizes.

    Raises:
        ValueError: Nothing was measured.

    >>> flat_region({1: 1.0, 2: 1.0, 4: 1.1, 8: 2.2, 16: 4.4})
    4
    """
    if not seconds:
        raise ValueError("no size was measured")
    sizes = sorted(seconds)
    rates = [lanes / seconds[lanes] for lanes in sizes]
    found = 0
    for at in range(1, len(sizes)):
        if rates[at] >= rates[found] * GROWTH ** math.log2(sizes[at] / sizes[found]):
            found = at
    return sizes[found]


def to_try(seconds: Mapping[int, float]) -> int:
    """Lanes that the next population of a device may have: the flat region, or a size that tells of its end.

    It has ended where twice as many lanes are no better; and it may have ended before the fewest lanes that
    were measured, if the next larger size was no better than these.
    """
    if not seconds:
        return FIRST
    region = flat_region(seconds)
    if 2 * region not in seconds:
        return 2 * region
    return max(1, region // 2) if region == min(seconds) else region


class LaneRates:
    """What steps have taken on the devices of one kind, by what is trained and by the number of lanes.

    kind    of the devices
    folder  where it is remembered; None: nowhere. Remove the file to have everything measured again.
    """

    def __init__(self, kind: str, folder: Path | None) -> None:
        self._kind = f"{kind}, jax {jax.__version__}"
        self._file = None if folder is None else folder / FILE
        self._known = _read(self._file)
        self._begun: set[tuple[str, Hashable, int]] = set()

    def room(self, trained: str) -> int:
        """Lanes that one device trains at once, as far as is known; see `to_try`."""
        return to_try(self._known.get(self._name(trained), {}))

    def add(self, trained: str, program: Hashable, lanes: int, seconds: float) -> None:
        """A launch of a program took so many seconds for a step of as many lanes on each device.

        A program's first launch does not count: it was compiled or loaded by the way. Of the others the
        fastest does, since nothing makes one faster than it is.
        """
        launch = trained, program, lanes
        if launch not in self._begun:
            self._begun.add(launch)
            return
        known = self._known.setdefault(self._name(trained), {})
        new = lanes not in known
        known[lanes] = min(seconds, known.get(lanes, math.inf))
        if new:
            self._write()

    def _name(self, trained: str) -> str:
        return f"{self._kind}, {trained}"

    def _write(self) -> None:
        """With what others have found in the meantime."""
        if self._file is None:
            return
        self._known = {**_read(self._file), **self._known}
        with suppress(OSError):  # a folder that cannot be written: the next study measures again
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with replaced(self._file, durable=False) as file:
                file.write(json.dumps(self._known, indent=1).encode())  # which writes sizes as words


def shape_class(recipe: Recipe, lane: Lane, fold: Fold) -> str:
    """Names all networks and data that cost the same: by the shapes of what a step reads and writes.

    Which functions a lane applies, and at what rates, does not count.
    """
    shapes = [(leaf.shape, str(leaf.dtype)) for leaf in jax.tree.leaves((lane, fold))]
    static = recipe.family, recipe.batch, recipe.dropout, recipe.options
    return hashlib.sha256(repr((static, shapes)).encode()).hexdigest()[:16]


def folder_of_programs() -> Path | None:
    """Where jax keeps compiled programs; None where it keeps none, or not in a folder of this machine."""
    told: Any = jax.config.jax_compilation_cache_dir  # type: ignore[attr-defined]
    return Path(told) if told and "://" not in told else None


def _read(file: Path | None) -> dict[str, Seconds]:
    """What was remembered. A file that is torn, or that something else has written, is as good as none."""
    known = {name: _seconds(value) for name, value in read_remembered(file).items()}
    return {name: seconds for name, seconds in known.items() if seconds}


def _seconds(value: Any) -> Seconds:
    """The sizes and their seconds; none if any of them makes no sense."""
    if not isinstance(value, dict):
        return {}
    for lanes, seconds in value.items():
        power = lanes.isascii() and lanes.isdigit() and 0 < len(lanes) < 10 and int(lanes).bit_count() == 1
        if not power or not isinstance(seconds, float) or not 0 < seconds < math.inf:
            return {}
    return {int(lanes): seconds for lanes, seconds in value.items()}
