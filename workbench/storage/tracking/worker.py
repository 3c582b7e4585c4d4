"""The process that logs: jobs come on standard input, and what is written is said on standard output.

`python -m workbench.storage.tracking.worker`, started by `process`. It never imports jax, and mlflow only
for what the fast writer cannot do, or `ahead` of its first job. A store that is down is tried again and
again; a job that the store refuses is given back with the reason. When standard input ends without the job
`end`, the trainer has died: what has arrived is still written, and the parent run is set KILLED.

    ->  {"job": 0, "do": "open", "uri", "artifacts", "parent", "session", "joins"}
    ->  {"job": 1, "do": "trials", "trials": [...]}      ->  {"job": 2, "do": "model", "folder"}
    ->  {"job": 3, "do": "finish", "final": {...}}       ->  {"job": 4, "do": "end", "status": "FINISHED"}
    <-  {"job": 0, "experiment", "run", "known": [...]}  <-  {"job": 1, "refused": {"17": "why"}}
    <-  {"trouble": "why"}                               while a job is being tried again
"""

from __future__ import annotations

import importlib
import os
import queue
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO, TypeVar

from workbench.core.addresses import reason
from workbench.core.records import TrialRecord, decode_trial
from workbench.storage.tracking.final import Final
from workbench.storage.tracking.rows import Parent
from workbench.storage.tracking.wire import decode_parent, pack, unpack

#: Seconds between two attempts on a store that is down; the last one repeats.
DELAYS = (0.2, 0.5, 1.0, 2.0, 5.0)
T = TypeVar("T")
#: Lower priority than training.
NICE = 10


def main() -> None:
    """Serve one tracker until its pipe closes."""
    if hasattr(os, "nice"):
        os.nice(NICE)
    replies = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # whatever a library prints must not get between the replies
    inbox = _Inbox(sys.stdin.buffer)
    jobs = iter(inbox)
    if sys.argv[1:] == ["ahead"]:  # of the tracker, which is not there yet
        importlib.import_module("mlflow.store.tracking.sqlalchemy_store")

    def reply(message: dict[str, Any]) -> None:
        try:
            replies.write(pack(message))
        except BrokenPipeError:  # nobody listens any more; what has arrived is still written
            inbox.ended.set()

    opening = next(jobs, None)
    if opening is None:
        return
    desk = _Desk(opening, inbox.ended, reply)
    ended = False
    try:
        desk.open_patiently()
        for job in jobs:
            desk.do(job)
            ended = ended or job["do"] == "end"
            if job["do"] == "trials" and inbox.idle():
                desk.warm()
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
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        threading.Thread(target=self._read, args=(stream,), daemon=True).start()

    def __iter__(self) -> Iterator[dict[str, Any]]:
        while line := self._lines.get():
            yield unpack(line)

    def idle(self) -> bool:
        return self._lines.empty()

    def _read(self, stream: BinaryIO) -> None:
        for line in stream:
            if line.endswith(b"\n"):  # a line that was cut belongs to a trainer that was killed
                self._lines.put(line)
        self.ended.set()
        self._lines.put(b"")


class _Desk:
    """One study's store, and how a job is done on it."""

    def __init__(
        self, opening: dict[str, Any], orphaned: threading.Event, reply: Callable[[dict[str, Any]], object]
    ) -> None:
        self.uri: str = opening["uri"]
        self.artifacts: str = opening["artifacts"]
        self.parent: Parent = decode_parent(opening["parent"])
        self.session: str | None = None if opening["joins"] else opening["session"]
        self.orphaned, self.reply = orphaned, reply
        self.writer: ModuleType | None = None
        self.store: Any = None
        self.experiment = self.run = ""
        self.warmed = False

    def open_patiently(self) -> None:
        """Open the store and the parent run, and say which trials are there."""
        known = self._patiently(self._open, give_back=False)
        self.reply({"job": 0, "experiment": self.experiment, "run": self.run, "known": known})

    def do(self, job: dict[str, Any]) -> None:
        """Do one job and say so."""
        refused: dict[str, str] = {}
        if job["do"] == "trials":
            refused = self._write([decode_trial(plain) for plain in job["trials"]])
        elif job["do"] == "model":
            # A refusal is not told here: `finish` tries again and says so.
            self._try("model", lambda: self._log_model(Path(job["folder"])))
        elif job["do"] == "finish":
            refused = self._try("final", lambda: self._finish(Final(**job["final"])))
        elif job["do"] == "end":
            refused = self._try("end", lambda: self._end(job["status"]))
        self.reply({"job": job["job"], "refused": refused})

    def abandon(self) -> None:
        """The trainer died: its run is not running any more."""
        if self.session is not None:
            self._try("end", lambda: self._end("KILLED"))

    def warm(self) -> None:
        """What the end of the study needs and takes seconds, while there is nothing else to do."""
        if not self.warmed:
            from workbench.storage.tracking.deliver import warm

            warm(self.uri)
            self.warmed = True

    def _open(self) -> tuple[int, ...]:
        from workbench.storage.tracking.writer import open_writer

        if self.writer is not None:
            self.writer.close(self.store)
        self.writer, self.store = open_writer(self.uri, self.artifacts)
        self.experiment, self.run, known = self.writer.open_parent(
            self.store, self.parent, session=self.session
        )
        return tuple(known)

    def _write(self, trials: list[TrialRecord]) -> dict[str, str]:
        """All at once; if that is refused, one by one, so that only the culprit is left out."""

        def write() -> None:
            assert self.writer is not None
            self.writer.write(self.store, self.parent, self.experiment, self.run, trials)

        refused = self._try(str(trials[0].number), write)
        if refused and len(trials) > 1:
            return {number: why for trial in trials for number, why in self._write([trial]).items()}
        return refused

    def _finish(self, final: Final) -> None:
        from mlflow import MlflowClient

        from workbench.storage.tracking.deliver import deliver, outdated

        assert self.writer is not None
        client = MlflowClient(self.uri, self.uri)
        self.writer.set_params(self.store, self.run, dict(final.params))
        self.writer.retract(self.store, self.run, outdated(client, self.run, final))
        deliver(client, self.run, final)

    def _log_model(self, folder: Path) -> None:
        from mlflow import MlflowClient

        from workbench.storage.tracking.deliver import log_model

        log_model(MlflowClient(self.uri, self.uri), self.run, folder)

    def _end(self, status: str) -> None:
        assert self.writer is not None
        self.writer.end(self.store, self.run, status, session=self.session)

    def _try(self, name: str, act: Callable[[], None]) -> dict[str, str]:
        """Nothing if it worked, else what the store has against it."""
        try:
            self._patiently(act)
        except _GivenUpError:
            raise
        except Exception as error:
            return {name: reason(error, self.uri)}
        return {}

    def _patiently(self, act: Callable[[], T], *, give_back: bool = True) -> T:
        """Try until it works, opening the store again in between. A refusal is raised if `give_back`."""
        attempt = 0
        while True:
            try:
                if attempt and act != self._open:
                    self._open()
                return act()
            except Exception as error:
                if give_back and not _passing(error):
                    raise
                if self.orphaned.is_set():
                    raise _GivenUpError from error
                self.reply({"trouble": reason(error, self.uri)})
            self.orphaned.wait(DELAYS[min(attempt, len(DELAYS) - 1)])
            attempt += 1


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
