"""What compiling and training cost, to weigh one against the other.

They are constants and not measurements of the moment, for a machine of so many devices and not for the one
that is there: what they decide (which programs a study gets, in which order its trials are judged) is a
function of the study. The benchmark `step` measures them again and prints them side by side.
"""

from __future__ import annotations

from typing import NamedTuple


class Costs(NamedTuple):
    """Of one kind of device."""

    compile: float  # seconds to compile the programs of a recipe, several recipes at once
    rate: float  # floating-point operations a second of a device that trains
    step: float  # seconds that a step of a lane takes beside its operations
    devices: int  # of the machine that is reckoned with
    turn: float = 1e-6  # seconds that a gate of a recurrence takes at a step, forward and backward

    def epoch(self, products: float, rows: int, batch: int, turns: int = 0) -> float:
        """Seconds of one lane's epoch when every device has lanes to train.

        products, turns  of one example: see `models.work`
        """
        steps = -(-rows // batch)
        once = steps * (self.step + turns * self.turn)
        return (operations(products, rows) / self.rate + once) / self.devices


#: Measured on two cores with AVX-512 (digits, 16 to 256 units), and, for accelerators, orders of magnitude.
COSTS = {
    "cpu": Costs(compile=4.0, rate=4.5e10, step=2e-5, devices=2, turn=4e-6),
    "gpu": Costs(compile=6.0, rate=5e12, step=1e-6, devices=1),
    "tpu": Costs(compile=10.0, rate=5e12, step=1e-6, devices=1),
}


def costs_of(platform: str) -> Costs:
    """The costs of a kind of device, as jax names it."""
    return COSTS.get(platform, COSTS["gpu"])


def operations(parameters: float, rows: int) -> float:
    """Floating-point operations of training on rows: two for each parameter forward, four backward."""
    return 6.0 * parameters * rows
