"""How many lanes a population has."""

from __future__ import annotations

from jax.sharding import Mesh

from workbench.costs import costs_of, operations
from workbench.population import in_turn
from workbench.recipe import Recipe

__all__ = ["width_for_one", "widths"]

#: Lanes of a population on each device. On two cores four lanes each were as fast as any wider population,
#: and small populations give the sampler its answers sooner; an accelerator wants many more.
LANES_PER_DEVICE = {"cpu": 4, "gpu": 256, "tpu": 256}


def widths(mesh: Mesh, trials: int) -> tuple[int, ...]:
    """Lanes of the populations of a search of so many trials, from wide to narrow."""
    devices, platform = mesh.size, mesh.devices.flat[0].platform
    full = LANES_PER_DEVICE.get(platform, LANES_PER_DEVICE["gpu"]) * devices
    full = min(full, -(-trials // devices) * devices)
    return (full,) if platform == "cpu" or full < 8 * devices else (full, full // 8)


def width_for_one(mesh: Mesh, width: int, recipe: Recipe, parameters: int, rows: int) -> int:
    """Lanes of the population to train a single lane in, for so many rows in all.

    A program of `width` lanes is there. Where lanes take turns, its empty places cost nothing. Side by side,
    a narrower one pays when padding costs more than compiling it: always for images and sequences, else by
    six operations for each parameter, row and padded lane.
    """
    if in_turn(mesh):
        return width
    costs = costs_of(mesh)
    padded = operations(parameters, rows) * (width - mesh.size)
    narrow = len(recipe.inputs) > 1 or padded / (costs.rate * costs.devices) > costs.compile
    return mesh.size if narrow else width
