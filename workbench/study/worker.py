"""A process that helps with a search that another one leads: takes parts, trains them, delivers them.

It decides nothing, writes no journal, and never loads a test row; killing it at any moment loses nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import Any

from workbench import data
from workbench.core.cores import cores
from workbench.core.errors import DataError, StoreError, StudyError
from workbench.core.locations import Locations, local_store, prepare
from workbench.core.provenance import versions
from workbench.core.types import Value
from workbench.data import SealedTest
from workbench.nn.recipe import Hyperparameters
from workbench.study.config import Study
from workbench.study.identity import identified
from workbench.study.interrupts import stop_requested
from workbench.study.preparations import Preparations, open_engine, resume
from workbench.study.watch import Watch
from workbench.study.workspace import as_begun
from workbench.training.devices import configure
from workbench.tuning import jobs
from workbench.tuning.distributed.coordinator import Heartbeat
from workbench.tuning.distributed.leases import Claim, Leases
from workbench.tuning.space import Program

#: Seconds between two looks for work: soon after some, seldom after none.
_POLL_SECONDS = (0.02, 0.5)


def work(study: Study, locations: Locations, watch: Watch) -> dict[str, Any]:
    """Help until the search has ended; what was done, as `worker --json` prints it.

    Waits while nobody leads the study. Raises StudyError, DataError or StoreError where this process could
    not train what the leader means: another study file, other rows, other versions.
    """
    prepare(replace(locations, tracking_uri=local_store(locations.home)))  # it has nothing to tell MLflow
    configure(locations.home / "cache" / "jax")
    study = identified(study, locations).study
    leases = Leases(locations.storage, study.id)
    with stop_requested(watch.note) as stopping:
        try:
            return _Worker(study, leases, watch).run(stopping)
        finally:
            leases.close()


class _Worker:
    def __init__(self, study: Study, leases: Leases, watch: Watch) -> None:
        self._study, self._leases, self._watch = study, leases, watch
        self._parts = self._lanes = 0
        self._seconds, self._lock = 0.0, threading.Lock()
        self._stage = ""
        self._trainer: _Trainer | None = None
        self._hands = ThreadPoolExecutor(cores(), "part")
        self._under_way: list[Future[None]] = []
        self._terms: Mapping[str, Any] = {}

    def run(self, stopping: Callable[[], bool]) -> dict[str, Any]:
        """Look for work and do it, until the search has ended or a stop is asked for."""
        self._leases.join()
        heart = Heartbeat(self._leases.join)
        pause, ended = _POLL_SECONDS[0], False
        try:
            while not (ended or stopping()):
                found = False
                try:
                    terms, session, ended = self._leases.fleet()
                    if terms is not None:
                        self._meet(terms)
                        found = self._once(session)
                    elif not ended:
                        self._say(f"waiting for workbench run {self._study.path}, study {self._study.id}")
                except StoreError as error:  # the database is away; the leader goes on without
                    self._say(f"{error}; trying again")
                pause = _POLL_SECONDS[0] if found else min(2 * pause, _POLL_SECONDS[1])
                if not (found or ended):
                    time.sleep(pause)
        finally:
            self._hands.shutdown(cancel_futures=True)
            heart.close()
            with suppress(StoreError):  # the lease runs out by itself
                self._leases.leave()
        return {
            "study": self._study.id,
            "status": "done" if ended else "interrupted",
            "parts": self._parts,
            "lanes": self._lanes,
            "seconds": round(self._seconds, 3),
        }

    def _once(self, session: str) -> bool:
        """Begin to train a part, if there is one and a core for it; a part that failed is told here."""
        assert self._trainer is not None
        for future in [future for future in self._under_way if future.done()]:
            self._under_way.remove(future)
            future.result()
        if len(self._under_way) >= self._trainer.threads:
            return False
        claim = self._leases.claim(session)
        if claim is None:
            return False
        self._say("at work")
        self._under_way.append(self._hands.submit(self._train, self._trainer, claim))
        return True

    def _train(self, trainer: _Trainer, claim: Claim) -> None:
        """Train a part and deliver it, beside others."""
        began = time.perf_counter()
        content, lanes = trainer.train(claim)
        seconds = time.perf_counter() - began
        delivered = self._leases.deliver(claim, content)
        with self._lock:
            self._seconds += seconds
            self._parts, self._lanes = self._parts + delivered, self._lanes + lanes * delivered

    def _meet(self, terms: Mapping[str, Any]) -> None:
        """Make ready for what the leader trains."""
        if terms == self._terms:
            return
        if terms["study"] != self._study.fingerprint:
            raise StudyError(
                f"{self._study.path}: is not the study that is being run under this name and seed; give "
                "worker and run the same file"
            )
        for package, version in terms["versions"].items():
            if versions()[package] != version:
                raise StudyError(
                    f"{self._study.path}: is run with {package} {version}, here is {versions()[package]}; "
                    "results could differ, install the same versions"
                )
        self._say(f"loading {self._study.data.source}")
        self._trainer = _Trainer(self._study, terms)
        self._terms = terms

    def _say(self, stage: str) -> None:
        if stage != self._stage:
            self._watch.stage(stage)
        self._stage = stage


class _Trainer:
    """Trains parts under the leader's terms."""

    def __init__(self, study: Study, terms: Mapping[str, Any]) -> None:
        dataset, _ = data.load(as_begun(study.data, terms), SealedTest(**terms["seal"]))
        if dataset.fingerprint != terms["data"]:
            raise DataError(
                f"{study.data.source}: has other rows than those that the study is run on; give this process "
                "a copy of the same file"
            )
        preparations = Preparations(dataset)
        self._plan = resume(study, preparations, terms)
        self._engine = open_engine(self._plan, preparations, seed=study.seed, lanes=terms["lanes"])
        self.threads = self._engine.threads

    def train(self, claim: Claim) -> tuple[bytes, int]:
        """What a part has brought, as bytes, and of how many lanes."""
        part = jobs.unpack(claim.request, self._setting, self._template)
        return jobs.pack_results(jobs.train(self._engine, part)), len(part.members)

    def _setting(
        self, number: int, params: Mapping[str, Value], division: int
    ) -> tuple[Program, Hyperparameters]:
        return self._plan.lane(params, number, division)

    def _template(self, program: Program, hyper: Hyperparameters) -> Any:
        return self._engine.template(program.recipe, hyper)
