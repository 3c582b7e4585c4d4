"""The process that logs: jobs come on standard input, and what is written is said on standard output.

`python -m workbench.storage.tracking.worker`, started by `tracker`. It never imports jax, and mlflow only for
what the fast writer cannot do, or `ahead` of its first job. A store that is down is tried again and again; a
job that the store refuses is given back with the reason. When standard input ends without the job `end`, the
trainer has died: what has arrived is still written, and the parent run is set KILLED.

A study that lasts gets MLflow's system metrics as well: processors, memory, disks, network and GPUs of the
machine, unless MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING is false.
"""

from __future__ import annotations

import importlib
import os
import pickle
import queue
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from workbench.core.addresses import reason
from workbench.core.records import TrialRecord
from workbench.storage.tracking import bulk, client
from workbench.storage.tracking.rows import Final, Job, Opened, Opening, Trouble

#: Seconds between two attempts on a store that is down; the last one repeats.
DELAYS = (0.2, 0.5, 1.0, 2.0, 5.0)
#: Lower priority than training.
NICE = 10
#: Seconds that a study lasts before its machine is watched, for which all of MLflow is loaded.
WATCHED_AFTER = 10.0
#: Seconds without a job after which there is time to prepare for the end of the study.
IDLE = 0.3
T = TypeVar("T")


def main() -> None:
    """Serve one tracker until its pipe closes."""
    if hasattr(os, "nice"):
        os.nice(NICE)
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints must not get between the replies
    inbox = _Inbox(sys.stdin.buffer)
    if sys.argv[1:] == ["ahead"]:  # of the tracker, which is not there yet
        importlib.import_module("mlflow.store.tracking.sqlalchemy_store")

    def reply(message: Any) -> None:
        try:
            pickle.dump(message, replies)
            replies.flush()
        except BrokenPipeError:  # nobody listens any more; what has arrived is still written
            inbox.ended.set()

    opening: Opening | None = inbox.get()
    if opening is None:
        return
    desk = _Desk(opening, inbox.ended, reply)
    ended = False
    try:
        reply(desk.patiently(desk.open, give_back=False))
        for job in inbox.jobs(desk.warm):
            reply(desk.do(job))
            ended = ended or job.do == "end"
        if not ended:
            desk.abandon()
    except _GivenUpError:  # the trainer's journal has everything
        return


class _GivenUpError(Exception):
    """The store is down and the trainer gone."""


class _Inbox:
    """The jobs as they arrive; a thread reads, so that the end of the trainer is noticed at once."""

    def __init__(self, stream: BinaryIO) -> None:
        self.ended = threading.Event()
        self._messages: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.get = self._messages.get
        threading.Thread(target=self._read, args=(stream,), daemon=True).start()

    def jobs(self, when_idle: Callable[[], None]) -> Iterator[Job]:
        """Each job, and one call in the first pause after some trials."""
        wait: float | None = None
        warmed = False
        while True:
            try:
                job: Job | None = self.get(timeout=wait)
            except queue.Empty:
                when_idle()
                wait, warmed = None, True
                continue
            if job is None:
                return
            yield job
            if job.do == "trials" and not warmed:
                wait = IDLE

    def _read(self, stream: BinaryIO) -> None:
        try:
            while True:
                self._messages.put(pickle.load(stream))
        except (EOFError, pickle.UnpicklingError):  # cut off within a message: the trainer was killed
            self.ended.set()
            self._messages.put(None)


class _Desk:
    """One study's store, and how a job is done on it."""

    def __init__(self, opening: Opening, orphaned: threading.Event, reply: Callable[[Trouble], None]) -> None:
        self.uri, self.artifacts, self.parent, self.session = opening
        self.orphaned, self.reply = orphaned, reply
        self.store: bulk.Database | client.Server | None = None
        self.experiment = self.run = ""
        self._monitor: Any = None  # MLflow's SystemMetricsMonitor
        self._watch = threading.Timer(WATCHED_AFTER, self._watch_machine)
        self._watch.daemon = True

    def open(self) -> Opened:
        """Open the store and the parent run, again if need be."""
        if self.store is not None:
            self.store.close()
        self.store = bulk.connect(self.uri, self.artifacts) or client.connect(self.uri, self.artifacts)
        opened = self.store.open_parent(self.parent, session=self.session)
        self.experiment, self.run, _ = opened
        if self._watch.ident is None and _watched():  # the first time
            self._watch.start()
        return opened

    def do(self, job: Job) -> dict[int | str, str]:
        """Do one job; what the store will not take, and why."""
        if job.do in {"trials", "running"}:
            return self._write(job.what) if job.what else {}
        if job.do == "model":
            self._try(job.do, lambda: self._log_model(job.what))
            return {}  # a refusal is not told here: `finish` tries again and says so
        act = self._finish if job.do == "finish" else self._end
        return self._try(job.do, lambda: act(job.what))

    def abandon(self) -> None:
        """The trainer died: its run is not running any more."""
        self._try("end", lambda: self._end("KILLED"))

    def warm(self) -> None:
        """What the end of the study needs and takes seconds, while there is nothing else to do."""
        from workbench.storage.tracking.deliver import warm

        warm(self.uri)

    def _write(self, trials: list[TrialRecord]) -> dict[int | str, str]:
        """All at once; if that is refused, one by one, so that only the culprit is left out."""

        def write() -> None:
            assert self.store is not None
            self.store.write(self.parent, self.experiment, self.run, trials)

        refused = self._try(trials[0].number, write)
        if refused and len(trials) > 1:
            return {number: why for trial in trials for number, why in self._write([trial]).items()}
        return refused

    def _finish(self, final: Final) -> None:
        from workbench.storage.tracking.deliver import deliver, outdated

        assert self.store is not None
        self.store.set_params(self.run, final.params)
        self.store.retract(self.run, outdated(self.uri, self.run, final))
        deliver(self.uri, self.run, final)

    def _log_model(self, folder: Path) -> None:
        from workbench.storage.tracking.deliver import log_model

        log_model(self.uri, self.run, folder)

    def _watch_machine(self) -> None:
        from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

        monitor = SystemMetricsMonitor(self.run, resume_logging=True, tracking_uri=self.uri)  # type: ignore[no-untyped-call]
        monitor.start()  # type: ignore[no-untyped-call]
        self._monitor = monitor

    def _end(self, status: Any) -> None:
        assert self.store is not None
        self._watch.cancel()
        if self._watch.ident is not None:
            self._watch.join()
        if self._monitor is not None:
            self._monitor.finish()
        self.store.end(self.run, status, session=self.session)

    def _try(self, name: int | str, act: Callable[[], None]) -> dict[int | str, str]:
        """Nothing if it worked, else what the store has against it."""
        try:
            self.patiently(act)
        except _GivenUpError:
            raise
        except Exception as error:
            return {name: reason(error, self.uri)}
        return {}

    def patiently(self, act: Callable[[], T], *, give_back: bool = True) -> T:
        """Try until it works, opening the store again in between. A refusal is raised if `give_back`."""
        attempt = 0
        while True:
            try:
                if attempt and act != self.open:
                    self.open()
                return act()
            except Exception as error:
                if give_back and not _passing(error):
                    raise
                if self.orphaned.is_set():
                    raise _GivenUpError from error
                self.reply(Trouble(reason(error, self.uri)))
            self.orphaned.wait(DELAYS[min(attempt, len(DELAYS) - 1)])
            attempt += 1


def _watched() -> bool:
    """As MLflow reads its own variable, but that here the default is yes."""
    return os.environ.get("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "true").lower() not in {"false", "0"}


def _passing(error: Exception) -> bool:
    """Whether the same job may work later: the store is down, busy, full, or was replaced."""
    import sqlalchemy.exc

    if isinstance(error, sqlalchemy.exc.OperationalError | sqlalchemy.exc.InterfaceError | OSError):
        return True
    code = getattr(error, "error_code", None)  # MlflowException, without importing mlflow
    return code is not None and code not in {"INVALID_PARAMETER_VALUE", "BAD_REQUEST", "INVALID_STATE"}


if __name__ == "__main__":
    main()
    sys.stderr.flush()
    os._exit(0)  # everything is written; taking mlflow down module by module would keep the trainer waiting
