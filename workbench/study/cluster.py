"""Other processes that help: what a study tells them, and how they are started.

A study that is run with `--cluster ADDRESS` has its lanes trained by whoever is there (see
`tuning.distributed`); without one nothing of it is imported.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.core import plugins
from workbench.core.cores import cores
from workbench.core.errors import InputError
from workbench.core.locations import Locations
from workbench.core.provenance import versions

if TYPE_CHECKING:
    from workbench.study.config import Study
    from workbench.study.workspace import Workspace
    from workbench.tuning.distributed.crew import Crew
    from workbench.tuning.space import Variant

#: Names an address where no option does.
VARIABLE = "WORKBENCH_CLUSTER"
#: Lanes that an accelerator's host takes at a time, which it trains side by side.
SIDE_BY_SIDE = 64


def address_of(given: str | None) -> str:
    """The address that is meant: an option, else the environment's, else none. Raises InputError."""
    address = (os.environ.get(VARIABLE) if given is None else given) or ""
    if address:
        from workbench.tuning.distributed.cluster import check

        check(address)
    return address


def crew_of(study: Study, home: Path, here: Workspace, address: str, note: Callable[[str], None]) -> Crew:
    """Who trains what a study launches: this process, and whoever is at the address, if there is one."""
    from workbench.tuning.distributed.crew import Crew

    if not address:
        return Crew(here.engine, None, note)
    from workbench.study.helper import Terms, pack_rows, trained
    from workbench.training.devices import arithmetic
    from workbench.tuning.distributed.cluster import Cluster

    terms = Terms(
        text=study.text,
        path=study.path.name,
        metric=here.metric,
        rooms=here.plan.widths,
        rules=here.plan.rules,
        lanes=here.engine.lanes,
        versions=versions(),
        arithmetic=arithmetic(),
        plugins=sorted(plugins.loaded.values()),
    )

    def rows(variant: Variant) -> bytes:
        return pack_rows(variant, here.preparations.compact(variant), here.preparations.problem(variant))

    own = ["--home", str(home), *(word for file in plugins.loaded for word in ("--plugin", str(file)))]
    return Crew(here.engine, Cluster(address, trained, terms.packed(), rows, note, own), note)


def scheduler(
    host: str, port: int, interface: str | None, file: str | None, tell: Callable[[str], None]
) -> None:
    """Be the scheduler that leaders and workers meet at, until a signal; see `cluster.serve_scheduler`.

    Raises InputError where it cannot.
    """
    from workbench.tuning.distributed import cluster

    cluster.check_installed("workbench scheduler")
    if file is not None and not file.endswith(".json"):
        raise InputError(f"--scheduler-file = {file}: the name must end in .json")
    cluster.serve_scheduler(host, port, interface, file, tell)


def worker(address: str, device: int | None, locations: Locations, tell: Callable[[str], None]) -> None:
    """Train for whoever leads a study, until the scheduler ends or a signal comes.

    device  the accelerator to use, by its number; None: all of them, or all cores

    Raises InputError for what is no address, or no device.
    """
    from workbench.tuning.distributed import cluster

    if not address or address.startswith("local:"):
        raise InputError(
            f"workbench worker: {address or 'an empty address'} names no scheduler; give its address or "
            f"--scheduler-file, or set {VARIABLE}"
        )
    cluster.check(address)
    if device is not None:  # before jax looks
        variables = ("CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "TPU_VISIBLE_CHIPS")
        os.environ |= dict.fromkeys(variables, str(device))
    importlib.import_module("workbench.study.helper")  # it takes seconds, in which nobody waits yet
    from workbench.training.devices import configure, machine

    configure(locations.home / "cache" / "jax")
    kind, _ = machine()
    if device is not None and kind == "cpu":
        raise InputError(
            f"--device = {device}: jax finds no such accelerator here; correct the number, or leave it out"
        )
    cluster.serve_worker(address, cores() if kind == "cpu" else SIDE_BY_SIDE, tell)
