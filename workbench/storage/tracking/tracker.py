"""MLflow beside the training: a tracker takes finished trials and never holds anybody up.

The writing is done by a process of its own (`worker`), so neither the interpreter lock nor a slow store is
felt where trials are trained. A trial given to the tracker is already durable in the study's journal; the
tracker keeps it until the store has it, sends it again to a new process if the old one dies, and says on
`close` what is still unwritten. A trial given twice is written once: replaying the journal is safe.

Jobs and answers are plain values, pickled through the standard streams of a `subprocess`. An executor of
`concurrent.futures` with a spawned process does not serve here: it runs the user's script again in the child,
so that one without `if __name__ == "__main__"` breaks the pool; its process outlives a trainer that is killed
with -9; and a script that has ended waits at its exit for a job that a dead server holds up.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import accumulate, islice
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NamedTuple

from workbench.core import addresses
from workbench.core.records import Outcome, TrialRecord
from workbench.storage.tracking.client import ENVIRONMENT
from workbench.storage.tracking.rows import DATABASES, Job, Opened, Opening, Parent, Status, Trouble, final

#: Deaths of the process in a row before the tracker gives up.
DEATHS = 5
#: Trials in one transaction; of a backlog in a database, which looks over its tables at each, up to so many
#: more as have no more epochs than this.
BATCH, BACKLOG, EPOCHS = 32, 256, 12_800
#: Seconds that the process has left to end by itself.
GRACE = 2.0


class Remainder(NamedTuple):
    """What a tracker could not write. Empty (`not remainder.any`) when all went well."""

    trials: frozenset[int]  # unwritten; the journal has them
    refused: Mapping[int, str]  # those among them that the store will not take, and why
    final: bool  # the end of the study is unwritten
    running: bool  # the parent run could not be terminated
    reason: str | None  # the last trouble, without passwords

    @property
    def any(self) -> bool:
        """Whether anything is left."""
        return bool(self.trials) or self.final or self.running


class Tracker:
    """A study's way to MLflow; made by `open`, safe to use from several threads."""

    def __init__(self, opening: Opening, notify: Callable[[str], None] | None) -> None:
        self._opening, self._notify = opening, notify
        self._turn = threading.Condition()
        # What waits, in its order; what is under way stays in front until the store has it.
        self._trials: dict[int, TrialRecord] = {}
        self._others: deque[Job] = deque()
        self._running: list[TrialRecord] = []  # in training, as they were last shown
        self._written: set[int] = set()
        self._refused: dict[int | str, str] = {}
        self._opened: Opened | None = None
        self._trouble: str | None = None
        self._told = self._stopping = self._given_up = False
        self._process: Process | None = None
        self._thread = threading.Thread(target=self._run, name="tracker", daemon=True)

    @classmethod
    def open(
        cls, uri: str, parent: Parent, *, artifacts: Path, notify: Callable[[str], None] | None = None
    ) -> Tracker:
        """Begin to track; returns at once, whatever state the store is in.

        Args:
            uri: a database, or an MLflow server.
            parent: the study.
            artifacts: folder for the artifacts of new experiments, unless the store is a server.
            notify: told in a sentence, from another thread, when the store is in trouble and when it is back.
        """
        tracker = cls(Opening(uri, addresses.folder(artifacts), parent, uuid.uuid4().hex), notify)
        tracker._thread.start()
        return tracker

    def trials(self, records: Iterable[TrialRecord]) -> None:
        """Hand over finished trials; never waits. Those that MLflow has already are dropped."""
        with self._turn:
            for record in records:
                if record.number not in self._written:
                    self._trials.setdefault(record.number, record)
            self._turn.notify_all()

    def running(self, records: list[TrialRecord]) -> None:
        """Hand over the trials that are in training, in place of those handed over before; never waits."""
        with self._turn:
            self._running = records
            self._turn.notify_all()

    def model(self, folder: Path) -> None:
        """Hand over the model that `finish` will register, to be logged meanwhile; never waits."""
        self._add(Job("model", folder.absolute()))

    def finish(
        self, outcome: Outcome, *, files: Mapping[str, Path] | None = None, model: Path | None = None
    ) -> None:
        """Hand over the end of the study; never waits. Given again, what is there is not written twice.

        Args:
            outcome: what the study has found.
            files: path among the artifacts -> file, which must stay until `close` returns.
            model: folder written by `saved_model.save`; registered under the study's name, alias `champion`.
        """
        self._add(Job("finish", final(outcome, self._opening.parent.name, files or {}, model)))

    def where(self, timeout: float = 0.0) -> dict[str, str]:
        """tracking_uri (no password), experiment, experiment_id, run_id; ids are "" until it answered."""
        with self._turn:
            self._turn.wait_for(lambda: self._opened is not None or self._given_up, timeout)
            ids = self._opened or Opened("", "", ())
        return {
            "tracking_uri": addresses.redact(self._opening.uri),
            "experiment": self._opening.parent.experiment_name,
            "experiment_id": ids.experiment,
            "run_id": ids.run,
        }

    @property
    def backlog(self) -> int:
        """How many trials wait."""
        with self._turn:
            return len(self._unwritten())

    def close(
        self,
        status: Status = "FINISHED",
        *,
        timeout: float = 60.0,
        patience: float = 5.0,
        progress: Callable[[int], None] | None = None,
    ) -> Remainder:
        """Wait until all is written, end the parent run, and say what is left.

        Args:
            status: of the parent run.
            timeout: seconds to wait at most.
            patience: seconds to wait at most for a store that is in trouble.
            progress: called now and then with the number of trials that still wait.
        """
        now = time.monotonic()
        deadline, out_of_patience = now + timeout, now + patience
        self._add(Job("end", status))
        with self._turn:
            while (self._trials or self._others) and not self._given_up:
                now = time.monotonic()
                if now > deadline or (self._trouble and now > out_of_patience):
                    break
                self._turn.wait(0.25)
                if progress is not None:
                    progress(len(self._unwritten()))
            self._stopping = True
            self._turn.notify_all()
            process = self._process
        if process is not None:
            process.stop()
        self._thread.join(timeout=5.0)
        with self._turn:
            return self._remainder()

    def __enter__(self) -> Tracker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._stopping:
            self.close("FINISHED" if kind is None else "KILLED" if kind is KeyboardInterrupt else "FAILED")

    def _add(self, job: Job) -> None:
        with self._turn:
            self._others.append(job)
            self._turn.notify_all()

    def _unwritten(self) -> set[int]:
        return self._trials.keys() - self._written

    def _remainder(self) -> Remainder:
        left = {job.do for job in self._others} | self._refused.keys()
        refused = {number: why for number, why in self._refused.items() if isinstance(number, int)}
        trials = frozenset(self._unwritten() | refused.keys())
        reason = self._trouble or next(iter(self._refused.values()), None)
        return Remainder(trials, refused, "finish" in left, "end" in left, reason)

    # ── the thread that feeds the process ───────────────────────────────────────────────────────

    def _run(self) -> None:
        deaths = 0
        while not self._stopping:
            written = len(self._written)
            why = self._serve()
            deaths = 1 if len(self._written) > written else deaths + 1
            with self._turn:
                if not self._stopping and deaths >= DEATHS:
                    self._given_up = True
                    self._tell(f"MLflow tracking has stopped ({why}); the study's journal has the trials")
                    self._turn.notify_all()
                    return
                self._turn.wait_for(lambda: self._stopping, 0.2 * 2**deaths)

    def _serve(self) -> str:
        """One process to its end, and its last words."""
        process = _waiting.pop() if _waiting else Process()
        try:
            with self._turn:
                self._process = process
                if self._stopping:  # `close` has come before it
                    process.stop()
            opened = process.ask(self._opening, self._hear)
            with self._turn:
                self._opened = opened
                self._written.update(opened.known)
                self._settled()
            while (job := self._next()) is not None:
                refused = process.ask(job, self._hear)
                with self._turn:
                    self._settle(job, refused)
        except EOFError:
            pass  # it died, and the caller starts another; or `close` has ended it
        finally:
            process.stop()
        return process.last_words()

    def _next(self) -> Job | None:
        """The job to send now, waited for: trials first, running ones last. None when no more is wanted."""
        with self._turn:
            while not self._stopping:
                if self._trials:
                    return Job("trials", self._batch())
                if self._others:
                    return self._others[0]
                if self._running:
                    shown, self._running = self._running, []
                    return Job("running", [trial for trial in shown if trial.number not in self._written])
                self._turn.wait()
        return None

    def _batch(self) -> list[TrialRecord]:
        most = BACKLOG if addresses.kind(self._opening.uri) in DATABASES else BATCH
        waiting = list(islice(self._trials.values(), most))
        epochs = accumulate(record.epochs for record in waiting)
        return [
            one
            for at, (one, sum_) in enumerate(zip(waiting, epochs, strict=True))
            if at < BATCH or sum_ <= EPOCHS
        ]

    def _hear(self, trouble: Trouble) -> None:
        """A job is being tried again; said once until it has worked."""
        with self._turn:
            self._trouble = trouble.why
            if not self._told:
                self._told = True
                uri = addresses.redact(self._opening.uri)
                self._tell(
                    f"MLflow at {uri} is in trouble ({trouble.why}); training goes on, and the trials are "
                    "written when it is back"
                )
            self._turn.notify_all()

    def _settle(self, job: Job, refused: Mapping[int | str, str]) -> None:
        """A job is done."""
        if job.do == "running":  # what is refused now is told when the trial has ended
            refused = {}
        elif job.do == "trials":
            self._written.update(record.number for record in job.what)
        else:
            self._others.popleft()
        self._settled()
        self._refused.update(refused)
        for name, why in refused.items():
            what = f"trial {name}" if isinstance(name, int) else "the end of the study"
            self._tell(f"MLflow did not take {what} ({why}); the study's own records have it")

    def _settled(self) -> None:
        """The store has answered: it works, and what is written waits no longer."""
        if self._told:
            self._told = False
            self._tell("MLflow is back; what was left is being written")
        self._trouble = None
        for number in self._trials.keys() & self._written:
            del self._trials[number]
        self._turn.notify_all()

    def _tell(self, sentence: str) -> None:
        if self._notify is not None:
            self._notify(sentence)


# ── the process ─────────────────────────────────────────────────────────────────────────────────


class Process:
    """A process that logs.

    It is out of reach of a Ctrl-C in the terminal, in the same session though: Linux shares processors out by
    session first, and by priority within. Its standard input ends when this process does, however it ends.
    """

    def __init__(self, *words: str) -> None:
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the last words
        self.popen = _start(words, self.errors)
        assert self.popen.stdin is not None
        assert self.popen.stdout is not None
        self._jobs, self._answers = self.popen.stdin, self.popen.stdout

    def ask(self, message: Opening | Job, hear: Callable[[Trouble], None]) -> Any:
        """Send it and wait for the answer. Raises EOFError if the process ends before that."""
        try:
            self._jobs.write(pickle.dumps(message))
            self._jobs.flush()
            while isinstance(answer := pickle.load(self._answers), Trouble):
                hear(answer)
        except (BrokenPipeError, pickle.UnpicklingError) as error:  # it died, perhaps within an answer
            raise EOFError from error
        except ValueError as error:
            if not self._jobs.closed:
                raise
            raise EOFError from error  # stopped by another thread
        return answer

    def stop(self) -> None:
        """End its jobs and wait a moment, then kill it: a transaction cut off leaves nothing behind."""
        late = threading.Timer(GRACE, self.popen.kill)
        late.start()
        with suppress(BrokenPipeError):  # what was not sent is still in the tracker
            self._jobs.close()
        self.popen.wait()
        late.cancel()

    def last_words(self) -> str:
        """The last line that it said on standard error, without passwords."""
        with self.errors, self._answers:
            self.errors.seek(0)
            lines = self.errors.read().decode(errors="replace").strip().splitlines()
        return addresses.redact(lines[-1])[:300] if lines else "its process keeps dying"


def _start(words: Sequence[str], errors: IO[bytes]) -> subprocess.Popen[bytes]:
    package = str(Path(__file__).parents[3])
    path = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "workbench.storage.tracking.worker", *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        env={**os.environ, **ENVIRONMENT, "PYTHONPATH": path},
        process_group=0,
        creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),  # the same on Windows
    )


#: Those that were started ahead and have no tracker yet.
_waiting: list[Process] = []


@contextmanager
def ahead() -> Iterator[None]:
    """Start the process of the tracker that will be opened within, so that it loads MLflow meanwhile.

    Loading MLflow takes seconds, and while the trainer loads jax the other cores are idle.
    """
    _waiting.append(Process("ahead"))
    try:
        yield
    finally:
        while _waiting:  # no tracker was opened: it has nothing to lose
            process = _waiting.pop()
            process.popen.kill()
            process.stop()
            process.last_words()
