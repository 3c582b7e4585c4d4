"""MLflow beside the training: a tracker takes finished trials and never holds anybody up.

The writing is done by a process of its own (`tracking_worker`), so neither the interpreter lock nor a slow
store is felt where trials are trained. A trial given to the tracker is already durable in the study's
journal; the tracker keeps it until the store has it, sends it again to a new process if the old one dies, and
says on `close` what is still unwritten. A trial given twice is written once: replaying the journal is safe.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NamedTuple

from workbench.tracking_address import check_reachable, is_server, local_store, redact, with_driver
from workbench.tracking_final import final
from workbench.tracking_process import ENVIRONMENT, last_line, start, stop
from workbench.tracking_rows import Finished, Parent, Status
from workbench.tracking_wire import encode_finished, encode_parent, pack, unpack
from workbench.types import Outcome, TrialRecord

__all__ = ["Parent", "Remainder", "Status", "Tracker", "check_reachable", "local_store", "reap", "redact"]

#: Trials in one transaction, and jobs under way at once: what bounds the pipe.
BATCH, WINDOW = 32, 4
#: Trials kept here while a store is down; those beyond are only counted, and the journal brings them later.
CAPACITY = 4_096
#: Deaths of the process in a row before the tracker gives up.
DEATHS = 5


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

    def __init__(self, opening: dict[str, Any], parent: Parent, notify: Callable[[str], None] | None) -> None:
        self._opening, self._parent, self._notify = opening, parent, notify
        self._turn = threading.Condition()
        self._trials: deque[Finished] = deque()
        self._others: deque[dict[str, Any]] = deque()
        self._sent: dict[int, tuple[dict[str, Any], list[Finished]]] = {}  # job -> message, its trials
        self._written: set[int] = set()
        self._overflow: set[int] = set()
        self._refused: dict[str, str] = {}
        self._where: dict[str, str] | None = None
        self._trouble: str | None = None
        self._told = self._stopping = self._given_up = False
        self._jobs = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._run, name="tracker", daemon=True)

    @classmethod
    def open(
        cls,
        uri: str,
        parent: Parent,
        *,
        artifacts: Path,
        joins: bool = False,
        notify: Callable[[str], None] | None = None,
    ) -> Tracker:
        """Begin to track; returns at once, whatever state the store is in.

        artifacts  folder for the artifacts of new experiments, unless the store is a server
        joins      another process owns the parent run: add trials to it, and leave its state alone
        notify     told in a sentence, from another thread, when the store is in trouble and when it is back
        """
        opening = {
            "job": 0,
            "do": "open",
            "uri": uri,
            "artifacts": str(artifacts.absolute()),
            "parent": encode_parent(parent),
            "session": uuid.uuid4().hex,
            "joins": joins,
        }
        tracker = cls(opening, parent, notify)
        tracker._thread.start()
        return tracker

    def trials(self, records: Iterable[TrialRecord], *, at: float | None = None) -> None:
        """Hand over finished trials; never waits. Those that MLflow has already are dropped.

        `at`: when they finished, in seconds since 1970; by default now.
        """
        at = time.time() if at is None else at
        with self._turn:
            for record in records:
                if record.number in self._written:
                    continue
                if len(self._trials) < CAPACITY:
                    self._trials.append(Finished(record, at))
                else:
                    self._overflow.add(record.number)
            self._turn.notify_all()

    def finish(
        self, outcome: Outcome, *, files: Mapping[str, Path] | None = None, model: Path | None = None
    ) -> None:
        """Hand over the end of the study; never waits. Given again, what is there is not written twice.

        files  path among the artifacts -> file, which must stay until `close` returns
        model  folder written by `savedmodel.save`; registered under the study's name, alias `champion`
        """
        plain = final(outcome, self._parent.name, files or {}, model)
        with self._turn:
            self._others.append({"do": "finish", "final": plain.__dict__})
            self._turn.notify_all()

    def where(self, timeout: float = 0.0) -> dict[str, str]:
        """tracking_uri (no password), experiment, experiment_id, run_id; ids are "" until it answered."""
        with self._turn:
            self._turn.wait_for(lambda: self._where is not None or self._given_up, timeout)
            ids = self._where or {"experiment_id": "", "run_id": ""}
        uri = redact(self._opening["uri"])
        return {"tracking_uri": uri, "experiment": self._parent.experiment_name, **ids}

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
        """Wait until all is written, at most `timeout` seconds, end the parent run, and say what is left.

        A store that is in trouble is waited for only `patience` seconds. `progress` is called now and then
        with the number of trials that still wait.
        """
        now = time.monotonic()
        deadline, out_of_patience = now + timeout, now + patience
        with self._turn:
            if not self._opening["joins"]:
                self._others.append({"do": "end", "status": status})
            self._turn.notify_all()
            while not self._idle() and not self._given_up:
                now = time.monotonic()
                if now > deadline or (self._trouble and now > out_of_patience):
                    break
                self._turn.wait(0.25)
                if progress is not None:
                    progress(len(self._unwritten()))
            self._stopping = True
            self._turn.notify_all()
        self._thread.join(timeout=5.0)
        with self._turn:
            left = {message["do"] for message in (*self._others, *(sent for sent, _ in self._sent.values()))}
            refused = {int(number): why for number, why in self._refused.items() if number.isdigit()}
            return Remainder(
                frozenset(self._unwritten()) | frozenset(refused),
                refused,
                "finish" in left or "final" in self._refused,
                "end" in left or "end" in self._refused,
                self._trouble or next(iter(self._refused.values()), None),
            )

    def __enter__(self) -> Tracker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._stopping:
            self.close("FINISHED" if kind is None else "KILLED" if kind is KeyboardInterrupt else "FAILED")

    # ── the thread that feeds the process ───────────────────────────────────────────────────────

    def _run(self) -> None:
        deaths = 0
        with tempfile.TemporaryFile() as errors:
            while not self._stopping:
                written = len(self._written)
                self._serve(errors)
                if self._stopping:
                    return
                deaths = 1 if len(self._written) > written else deaths + 1
                with self._turn:
                    # What was under way goes back to the front, in its order.
                    for message, trials in reversed(self._sent.values()):
                        if trials:
                            self._trials.extendleft(reversed(trials))
                        else:
                            self._others.appendleft(message)
                    self._sent.clear()
                    if deaths >= DEATHS:
                        self._given_up = True
                        why = last_line(errors)
                        self._tell(f"MLflow tracking has stopped ({why}); the study's journal has the trials")
                        self._turn.notify_all()
                        return
                    self._turn.wait_for(lambda: self._stopping, 0.2 * 2**deaths)

    def _serve(self, errors: IO[bytes]) -> None:
        """One process, from its start to its end."""
        process = start(errors)
        pipe, answers = process.stdin, process.stdout
        assert pipe is not None
        assert answers is not None
        self._process = process
        listener = threading.Thread(target=self._listen, args=(answers, process), daemon=True)
        listener.start()
        try:
            pipe.write(pack(self._opening))
            pipe.flush()
            while (message := self._next(process)) is not None:
                pipe.write(pack(message))
                pipe.flush()
        except BrokenPipeError:
            pass  # it died; the caller starts another
        finally:
            stop(process)
            listener.join()
            answers.close()

    def _next(self, process: subprocess.Popen[bytes]) -> dict[str, Any] | None:
        """The next job to send, waited for; None when the process is dead or no longer wanted."""
        with self._turn:
            while not self._stopping and process is self._process:
                # Final jobs wait for all trials, and nothing overtakes the opening.
                if self._where is not None and len(self._sent) < WINDOW:
                    if self._trials:
                        trials = [self._trials.popleft() for _ in range(min(BATCH, len(self._trials)))]
                        trials = [f for f in trials if f.record.number not in self._written]
                        if trials:
                            message = {"do": "trials", "trials": [encode_finished(f) for f in trials]}
                            return self._send(message, trials)
                        continue
                    if self._others and not self._sent:
                        return self._send(self._others.popleft(), [])
                self._turn.wait()
        return None

    def _send(self, message: dict[str, Any], trials: list[Finished]) -> dict[str, Any]:
        self._jobs += 1
        message = {**message, "job": self._jobs}
        self._sent[self._jobs] = (message, trials)
        return message

    def _listen(self, answers: IO[bytes], process: subprocess.Popen[bytes]) -> None:
        for line in answers:
            answer = unpack(line)
            with self._turn:
                if "trouble" in answer:
                    self._trouble = answer["trouble"]
                    if not self._told:
                        self._told = True
                        uri = redact(self._opening["uri"])
                        self._tell(
                            f"MLflow at {uri} is in trouble ({self._trouble}); training goes on, and the "
                            "trials are written when it is back"
                        )
                else:
                    self._settle(answer)
                self._turn.notify_all()
        with self._turn:
            if process is self._process:
                self._process = None
            self._turn.notify_all()

    def _settle(self, answer: dict[str, Any]) -> None:
        """A job is done."""
        if self._told:
            self._told = False
            self._tell("MLflow is back; what was left is being written")
        self._trouble = None
        if answer["job"] == 0:
            self._where = {"experiment_id": answer["experiment"], "run_id": answer["run"]}
            self._written.update(answer["known"])
            return
        _, trials = self._sent.pop(answer["job"])
        self._refused.update(answer["refused"])
        self._written.update(f.record.number for f in trials)
        for name, why in answer["refused"].items():
            what = f"trial {name}" if name.isdigit() else "the end of the study"
            self._tell(f"MLflow refused {what} ({why}); it is safe in the study's journal")

    def _tell(self, sentence: str) -> None:
        if self._notify is not None:
            self._notify(sentence)

    def _idle(self) -> bool:
        return not (self._trials or self._others or self._sent)

    def _unwritten(self) -> set[int]:
        waiting = {f.record.number for f in self._trials} | self._overflow
        for _, trials in self._sent.values():
            waiting |= {f.record.number for f in trials}
        return waiting - self._written


def reap(uri: str, study: str | None = None) -> int:
    """Set runs that a killed process left RUNNING to KILLED: those of one study, or of all. Returns how many.

    Call it only when nobody works on them. Opening a tracker does not need it: that resumes the parent, and
    closing it ends whatever child was left.
    """
    from workbench import tracking_bulk, tracking_client

    os.environ.update(
        {key: value for key, value in ENVIRONMENT.items() if key.startswith(("MLFLOW", "DO_NOT"))}
    )
    uri = with_driver(uri)
    store = None if is_server(uri) else tracking_bulk.connect(uri, "")
    if store is not None:
        return tracking_bulk.reap(store, study)
    return tracking_client.reap(tracking_client.connect(uri, ""), study)
