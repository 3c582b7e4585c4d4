"""How long the first program of a study will compile, as far as earlier ones tell.

Beside jax's own cache of compiled programs lies a file of which first programs were compiled into it, and of
the seconds that passed before they trained. A program that is in it comes from the cache; what is said of
another one is the median of those that were compiled last on this machine.
"""

from __future__ import annotations

import json
import statistics
from pathlib import Path

from workbench.core.files import read_remembered, write_text
from workbench.core.formatting import duration
from workbench.training.lane_rates import folder_of_programs
from workbench.tuning.lane_plan import LanePlan
from workbench.tuning.space import axes, default

#: The name of the file.
FILE = "compiling.json"
#: First programs that are remembered, and how many of the last ones an estimate is made of.
KEPT, RECENT = 1_000, 9


class Compiling:
    """What is known of the program in which the default configuration of a study trains.

    folder  of jax's cache; None where it keeps none
    """

    def __init__(self, plan: LanePlan, folder: Path | None) -> None:
        program, _ = plan.lane(default(axes(plan.settings)), 0)
        rows = plan.problem(program.variant).rows
        self._name = f"{program.recipe.id} {rows} {plan.epochs}"
        self._file = None if folder is None else folder / FILE
        self._known = _read(self._file)

    @classmethod
    def of(cls, plan: LanePlan) -> Compiling:
        """By what lies beside the programs of this process."""
        return cls(plan, folder_of_programs())

    @property
    def stage(self) -> str | None:
        """What a user is told that he waits for; None where the program is there already."""
        if self._name in self._known:
            return None
        seconds = list(self._known.values())[-RECENT:]
        return f"compiling (about {duration(statistics.median(seconds))})" if seconds else "compiling"

    def took(self, seconds: float) -> None:
        """Remember it. A file that cannot be written is left as it is: nothing depends on it."""
        if self._file is None or self._name in self._known:
            return
        known = {**_read(self._file), self._name: round(seconds, 3)}
        try:
            write_text(self._file, json.dumps(dict([*known.items()][-KEPT:]), indent=1), private=True)
        except OSError:
            return


def _read(file: Path | None) -> dict[str, float]:
    """What was remembered; what is torn, or was written by something else, is as good as nothing."""
    known = read_remembered(file)
    return {name: one for name, one in known.items() if isinstance(one, float) and 0 <= one < 1e6}
