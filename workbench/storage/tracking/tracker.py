"""MLflow beside the training: a tracker takes finished trials and never holds anybody up.

The writing is done by a process of its own (`worker`), so neither the interpreter lock nor a slow
store is felt where trials are trained. A trial given to the tracker is already durable in the study's
journal; the tracker keeps it until the store has it, sends it again to a new process if the old one dies, and
says on `close` what is still unwritten. A trial given twice is written once: replaying the journal is safe.
"""

from __future__ import annotations

import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from workbench.core import addresses
from workbench.core.records import Outcome, TrialRecord
from workbench.storage.tracking.backlog import Backlog, Remainder
from workbench.storage.tracking.final import final
from workbench.storage.tracking.process import Clerk, last_line, start, stop
from workbench.storage.tracking.rows import Parent, Status
from workbench.storage.tracking.wire import encode_parent, pack, unpack

#: Deaths of the process in a row before the tracker gives up.
DEATHS = 5


class Tracker:
    """A study's way to MLflow; made by `open`, safe to use from several threads."""

    def __init__(self, opening: dict[str, Any], parent: Parent, notify: Callable[[str], None] | None) -> None:
        self._opening, self._parent, self._notify = opening, parent, notify
        self._turn = threading.Condition()
        self._backlog = Backlog()
        self._where: dict[str, str] | None = None
        self._trouble: str | None = None
        self._told = self._stopping = self._given_up = False
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
            "artifacts": addresses.folder(artifacts),
            "parent": encode_parent(parent),
            "session": uuid.uuid4().hex,
            "joins": joins,
        }
        tracker = cls(opening, parent, notify)
        tracker._thread.start()
        return tracker

    def trials(self, records: Iterable[TrialRecord]) -> None:
        """Hand over finished trials; never waits. Those that MLflow has already are dropped."""
        with self._turn:
            self._backlog.add(records)
            self._turn.notify_all()

    def model(self, folder: Path) -> None:
        """Hand over the model that `finish` will register, to be logged meanwhile; never waits."""
        with self._turn:
            self._backlog.add_job({"do": "model", "folder": str(folder.absolute())})
            self._turn.notify_all()

    def finish(
        self, outcome: Outcome, *, files: Mapping[str, Path] | None = None, model: Path | None = None
    ) -> None:
        """Hand over the end of the study; never waits. Given again, what is there is not written twice.

        files  path among the artifacts -> file, which must stay until `close` returns
        model  folder written by `saved_model.save`; registered under the study's name, alias `champion`
        """
        plain = final(outcome, self._parent.name, files or {}, model)
        with self._turn:
            self._backlog.add_job({"do": "finish", "final": plain.__dict__})
            self._turn.notify_all()

    def where(self, timeout: float = 0.0) -> dict[str, str]:
        """tracking_uri (no password), experiment, experiment_id, run_id; ids are "" until it answered."""
        with self._turn:
            self._turn.wait_for(lambda: self._where is not None or self._given_up, timeout)
            ids = self._where or {"experiment_id": "", "run_id": ""}
        uri = addresses.redact(self._opening["uri"])
        return {"tracking_uri": uri, "experiment": self._parent.experiment_name, **ids}

    @property
    def backlog(self) -> int:
        """How many trials wait."""
        with self._turn:
            return len(self._backlog.unwritten)

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
                self._backlog.add_job({"do": "end", "status": status})
            self._turn.notify_all()
            while not self._backlog.empty and not self._given_up:
                now = time.monotonic()
                if now > deadline or (self._trouble and now > out_of_patience):
                    break
                self._turn.wait(0.25)
                if progress is not None:
                    progress(len(self._backlog.unwritten))
            self._stopping = True
            self._turn.notify_all()
        self._thread.join(timeout=5.0)
        with self._turn:
            return self._backlog.remainder(self._trouble)

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
        while not self._stopping:
            written = len(self._backlog.written)
            why = self._serve(start())
            if self._stopping:
                return
            deaths = 1 if len(self._backlog.written) > written else deaths + 1
            with self._turn:
                self._backlog.put_back()
                if deaths >= DEATHS:
                    self._given_up = True
                    self._tell(f"MLflow tracking has stopped ({why}); the study's journal has the trials")
                    self._turn.notify_all()
                    return
                self._turn.wait_for(lambda: self._stopping, 0.2 * 2**deaths)

    def _serve(self, clerk: Clerk) -> str:
        """One process to its end, and its last words."""
        process = clerk.process
        pipe, answers = process.stdin, process.stdout
        assert pipe is not None
        assert answers is not None
        self._process = process
        listener = threading.Thread(target=self._listen, args=(answers, process), daemon=True)
        listener.start()
        with clerk.errors, answers:
            try:
                pipe.write(pack(self._opening))
                pipe.flush()
                while (message := self._next(process)) is not None:
                    pipe.write(pack(message))
                    pipe.flush()
            except BrokenPipeError:
                pass  # it died; the caller starts another
            finally:
                stop(clerk)
                listener.join()
            return last_line(clerk)

    def _next(self, process: subprocess.Popen[bytes]) -> dict[str, Any] | None:
        """The next job to send, waited for; None when the process is dead or no longer wanted."""
        with self._turn:
            while not self._stopping and process is self._process:
                if self._where is not None and (message := self._backlog.next()) is not None:
                    return message  # nothing overtakes the opening
                self._turn.wait()
        return None

    def _listen(self, answers: IO[bytes], process: subprocess.Popen[bytes]) -> None:
        for line in answers:
            answer = unpack(line)
            with self._turn:
                if "trouble" in answer:
                    self._trouble = answer["trouble"]
                    if not self._told:
                        self._told = True
                        uri = addresses.redact(self._opening["uri"])
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
            self._backlog.written.update(answer["known"])
            return
        self._backlog.settle(answer["job"], answer["refused"])
        for name, why in answer["refused"].items():
            what = f"trial {name}" if name.isdigit() else "the end of the study"
            self._tell(f"MLflow did not take {what} ({why}); the study's own records have it")

    def _tell(self, sentence: str) -> None:
        if self._notify is not None:
            self._notify(sentence)
