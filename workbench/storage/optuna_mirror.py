"""The studies as Optuna shows them, with optuna-dashboard or `optuna.load_study`: written behind.

The search runs on its own journal. Here a thread brings an Optuna storage up to date through Optuna's public
interface: a journal file in the home, or the database that `--storage` names. Training never waits for it and
never fails by it: a database that is locked or away is tried again until it is back, and what is unwritten
when the process ends is written when the same records are put again.

Optuna numbers a trial by counting those before it, so trials are added in the order of their numbers, under a
lock that the operating system or the server releases when a process dies. A trial that is in training when
its turn comes is added as RUNNING, with its scores at rungs so far, and is ended later; one whose search was
interrupted is WAITING until the search goes on. So a trial has its own number, and is there once, whatever
process wrote it and wherever that one was killed.

A journal file whose end was torn off, or that was damaged in the middle, is cut to what is whole and written
on from the records of the home. Optuna refuses to change a trial that has ended, so that the chosen trial is
named by attributes of the study.
"""

from __future__ import annotations

import json
import math
import sqlite3
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from workbench.core.addresses import kind, reason, redact, sqlite
from workbench.core.errors import StoreError
from workbench.core.records import Outcome, Selection, TrialRecord, encode_number
from workbench.core.types import Axis, Value
from workbench.storage import database, outcomes

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution
    from optuna.storages import BaseStorage, RDBStorage
    from optuna.storages.journal import JournalStorage
    from optuna.trial import FrozenTrial, TrialState

#: Seconds before a database that failed is tried again: doubled from the first to the last.
RETRY_SECONDS = (0.25, 30.0)
#: How often a journal file that cannot be read or written is tried again before it is given up.
MOST_REPAIRS = 5
#: Seconds between two looks at a search while it runs, and while somebody waits for the last of it.
LOOK_SECONDS = (1.0, 0.05)
#: Seconds of rest for each second of writing while a search runs, which wants the processor itself.
REST = 1.0
#: Trials that are added under one lock: at least so many, and a share of those that are there, all of which
#: are looked at for that.
BATCH, SHARE = 64, 16
#: Seconds that a statement waits for another process's transaction on SQLite.
BUSY_SECONDS = 5.0
#: Seconds after which the lock on a journal file is that of a dead process: it is held for milliseconds.
DEAD_SECONDS = 3

#: The reason of a trial that has not ended, by which it is known that a search of ours began it.
IN_TRAINING = "in training"

#: How the choice was made, by its rule (`finalists`).
RULES = {
    "single": "the best validation score; among equal ones the lower loss",
    "best": "the best mean over fresh seeds among the finalists",
    "beyond-noise": "the simplest finalist within one standard error of the best mean over fresh seeds",
    "keep-default": "the best mean over fresh seeds, unless the default is within one standard error of it",
}


@dataclass(frozen=True)
class Described:
    """What Optuna is told of a study beside its trials."""

    name: str
    metric: str
    direction: Literal["maximize", "minimize"]
    axes: Mapping[str, Axis]  # which a record's params are values of
    question: str


class Running(NamedTuple):
    """A trial in training."""

    params: Mapping[str, Value]
    rungs: Mapping[int, float]  # epochs trained -> score


class OptunaMirror:
    """A study in an Optuna storage and the thread that writes it; no trouble with the storage raises here.

    where  a journal file of Optuna's, or the URL of a database: `sqlite:///FILE`, `postgresql://…`
    study  made if it is not there, in the thread
    tell   hears one sentence when the storage fails, and one if it is given up; called in the thread
    """

    def __init__(self, where: Path | str, study: Described, *, tell: Callable[[str], None]) -> None:
        # Optuna imports it in the thread, and half imported it breaks whoever uses SQLAlchemy meanwhile.
        import sqlalchemy.orm  # noqa: F401

        self._where, self._study, self._tell = where, study, tell
        self._records: dict[int, TrialRecord] = {}  # all of them: the storage may have to be made anew
        self._pending: dict[int, TrialRecord] = {}
        self._running: Mapping[int, Running] = {}
        self._chosen: Selection | None = None
        self._changed = threading.Condition()
        self._dirty = True  # there is something to do: to begin with, the study is opened
        self._given_up = self._ending = self._closing = False
        self._hurried = 0  # how many callers wait for the last of it
        self._thread = threading.Thread(target=self._run, name="optuna-mirror", daemon=True)
        self._thread.start()

    def put(self, finished: Iterable[TrialRecord], running: Mapping[int, Running] | None = None) -> None:
        """Hand over finished trials, in any order, and return at once. A trial that is there is skipped.

        running  all that are in training now, by number; None: the same as before
        """
        with self._changed:
            new = {record.number: record for record in finished}
            self._records |= new
            self._pending |= new
            if running is not None:
                self._running = running
            self._wake()

    def choose(self, selection: Selection) -> None:
        """Hand over the choice: where it is not Optuna's best trial, the study's attributes say why."""
        with self._changed:
            self._chosen = selection
            self._wake()

    @property
    def backlog(self) -> int:
        """How many trials are unwritten."""
        with self._changed:
            return len(self._pending)

    def flush(self, timeout: float) -> int:
        """Wait at most `timeout` seconds until the storage is up to date; how many trials are unwritten."""
        with self._changed:
            self._hurried += 1
            self._wake()
            self._changed.wait_for(
                lambda: self._given_up or not (self._dirty or self._pending), max(0.0, timeout)
            )
            self._hurried -= 1
            return len(self._pending)

    def close(self, timeout: float) -> int:
        """`flush` and stop the thread; what is in training waits for the next run. How many are unwritten."""
        end = time.monotonic() + timeout
        with self._changed:
            self._ending = True
        self.flush(timeout)
        with self._changed:
            self._closing = True
            self._wake()
        self._thread.join(max(0.1, end - time.monotonic()))
        with self._changed:
            return len(self._pending)

    def _wake(self) -> None:
        self._dirty = True
        self._changed.notify_all()

    # ── in the thread ──

    def _run(self) -> None:
        opened: _Open | None = None
        failures = 0
        rest = 0.0
        while self._wait(rest):
            began = time.monotonic()
            try:
                if opened is None or not is_whole(self._where):
                    opened = self._reopen(opened)
                self._bring(opened)
                failures = 0
                rest = max(LOOK_SECONDS[0], REST * (time.monotonic() - began))
            except Exception as error:  # the edge of the thread: training goes on, and the user hears of it
                said = _sentence(self._where, error)
                _shut(opened)
                opened = None
                if not self._comes_back(error, failures):
                    self._tell(f"{said}; the Optuna study is not kept up to date, everything else is")
                    with self._changed:
                        self._given_up = True
                        self._changed.notify_all()
                    break
                if failures == 0:
                    self._tell(f"{said}; finished trials are safe and will be written when it is back")
                self._pause(min(RETRY_SECONDS[0] * 2**failures, RETRY_SECONDS[1]))
                failures = min(failures + 1, 16)
        _shut(opened)

    def _wait(self, rest: float) -> bool:
        """Sleep until there is something to do, and as long as was agreed; False when nothing is to come."""
        with self._changed:
            # What waits for its number waits for another process.
            look = LOOK_SECONDS[bool(self._hurried)] if self._pending else None
            self._changed.wait_for(lambda: self._dirty or self._closing, look)
            self._changed.wait_for(lambda: self._hurried or self._closing, rest)
            return not self._closing

    def _pause(self, seconds: float) -> None:
        """Sleep after a failure. New trials do not shorten it; the end does."""
        with self._changed:
            self._changed.wait_for(lambda: self._closing, seconds)
            self._dirty = True

    def _comes_back(self, error: Exception, failures: int) -> bool:
        """Whether to try again: what is locked or away comes back, and a file is made whole when opened.

        At the end nobody waits long for a disk that is full: the next run writes what is missing.
        """
        import sqlalchemy as sa
        from optuna.exceptions import StorageInternalError

        away = (sa.exc.DBAPIError, StorageInternalError, sqlite3.Error, OSError)
        is_away = isinstance(error, away) or isinstance(error.__cause__, away)
        if isinstance(self._where, str):
            return is_away
        if isinstance(error, StoreError) and not is_away:
            return False
        return failures < MOST_REPAIRS or (is_away and not self._ending)

    def _reopen(self, opened: _Open | None) -> _Open:
        _shut(opened)
        storage, is_new = _storage(self._where, self._tell)
        if is_new and isinstance(self._where, Path):
            _restore(storage, self._where, self._tell, but=self._study.name)
        with self._changed:
            self._pending = dict(self._records)
        return _Open.study(self._where, storage, self._study)

    def _bring(self, opened: _Open) -> None:
        """Write a batch of what has been handed over."""
        with self._changed:
            pending, running, chosen = dict(self._pending), self._running, self._chosen
            at_rest = self._ending
            self._dirty = False
        written = opened.write(pending, running, at_rest=at_rest)
        if chosen is not None and written >= pending.keys():
            opened.mark(chosen)
        with self._changed:
            for number in written:
                self._pending.pop(number, None)
            self._dirty |= bool(written and self._pending)
            self._changed.notify_all()


def is_whole(where: Path | str) -> bool:
    """Whether a journal file is there and ends as one does. True for a database, which sees to itself."""
    if isinstance(where, str):
        return True
    try:
        with where.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - 1))
            return file.read(1) == b"\n"
    except FileNotFoundError:
        return False


def restore(where: Path | str, tell: Callable[[str], None]) -> None:
    """Make a journal file that is lost or torn anew: every recorded study of its home is in it. Never raises.

    An earlier version kept Optuna's studies in the home's database; it has no such file either.
    """
    if isinstance(where, str) or is_whole(where):
        return
    try:
        storage, _ = _storage(where, tell)
        _restore(storage, where, tell)
    except Exception as error:  # nothing depends on it
        tell(f"{_sentence(where, error)}; Optuna does not show what was recorded, everything else is there")


# ── an open study ──


class _Open(NamedTuple):
    """A study of an open storage, written through Optuna's public interface."""

    where: Path | str
    storage: BaseStorage
    optuna: optuna.Study
    number: int  # by which the storage knows it
    distributions: Mapping[str, BaseDistribution]

    @classmethod
    def study(cls, where: Path | str, storage: BaseStorage, told: Described) -> _Open:
        """Made if need be. Raises StoreError if it is there with another direction."""
        import optuna
        from optuna.exceptions import ExperimentalWarning

        from workbench.tuning.space import distributions

        sampler = optuna.samplers.RandomSampler()  # the default one takes a moment to make
        with _held(where, "optuna"):
            try:
                study = optuna.load_study(study_name=told.name, storage=storage, sampler=sampler)
            except KeyError:
                study = optuna.create_study(
                    study_name=told.name, storage=storage, sampler=sampler, direction=told.direction
                )
            found = [direction.name.lower() for direction in study.directions]
            if found != [told.direction]:
                raise StoreError(
                    f"the Optuna study {told.name} is there with direction {', '.join(found)}, expected "
                    f"{told.direction}; give this study another name, or delete the old one with "
                    "`optuna delete-study`"
                )
            if study.metric_names != [told.metric]:
                warnings.filterwarnings("ignore", ".*set_metric_names is experimental", ExperimentalWarning)
                study.set_metric_names([told.metric])
            opened = cls(
                where,
                storage,
                study,
                storage.get_study_id_from_name(told.name),
                distributions(told.axes),
            )
            opened.describe({"question": told.question})
        return opened

    def describe(self, attrs: Mapping[str, Any]) -> None:
        """Bring attributes of the study up to date."""
        there = self.optuna.user_attrs
        for key, value in attrs.items():
            if key not in there or there[key] != value:
                self.optuna.set_user_attr(key, value)

    def write(
        self,
        finished: Mapping[int, TrialRecord],
        running: Mapping[int, Running],
        *,
        at_rest: bool = False,
    ) -> set[int]:
        """Some or all of the finished trials; which of them are there now.

        running  trials in training, or between two runs of the search if `at_rest`
        """
        from optuna.trial import TrialState

        under_way = TrialState.WAITING if at_rest else TrialState.RUNNING
        with _held(self.where, f"optuna {self.optuna.study_name}"):
            trials = self.optuna.get_trials(deepcopy=False)
            for trial in trials:
                if not trial.state.is_finished():
                    self._update(trial, finished.get(trial.number), running.get(trial.number), under_way)
            new: list[FrozenTrial] = []
            for number in count(len(trials)):
                if number in finished:
                    new.append(frozen(finished[number], self.distributions))
                elif number in running:
                    new.append(_begun(running[number], under_way, self.distributions))
                else:
                    break  # of a trial that another process knows
                if len(new) == max(BATCH, len(trials) // SHARE):
                    break
            self.optuna.add_trials(new)
        return {number for number in finished if number < len(trials) + len(new)}

    def mark(self, chosen: Selection) -> None:
        """Name the chosen trial, once all trials are there."""
        why = f"by rule {chosen.rule}: {RULES.get(chosen.rule, 'see the report')}"
        best = self.optuna.best_trial.number
        if best != chosen.trial:
            why += f"; Optuna's best trial is {best}, which had the best single score of the search"
        self.describe({"chosen trial": chosen.trial, "chosen": why})

    def _update(
        self, trial: FrozenTrial, record: TrialRecord | None, running: Running | None, under_way: TrialState
    ) -> None:
        """A trial that is there and has not ended."""
        storage = self.storage
        key = storage.get_trial_id_from_study_id_trial_number(self.number, trial.number)
        rungs = record.rungs if record is not None else running.rungs if running is not None else {}
        for step, value in rungs.items():
            if step not in trial.intermediate_values:
                storage.set_trial_intermediate_value(key, step, float(value))
        if record is not None:
            for name, attribute in attributes(record).items():
                storage.set_trial_user_attr(key, name, attribute)
            told = score(record)
            storage.set_trial_state_values(key, state(record), None if told is None else [told])
        elif trial.state != under_way and (running is not None or _is_left(trial, under_way)):
            storage.set_trial_state_values(key, under_way)


# ── a trial in Optuna's words ──


def frozen(record: TrialRecord, distributions: Mapping[str, BaseDistribution]) -> FrozenTrial:
    """A finished trial as Optuna shows it."""
    from optuna.trial import FrozenTrial

    ended = datetime.fromtimestamp(record.finished, UTC) if record.finished else datetime.now(UTC)
    began, ended = (  # Optuna shows naive local time
        moment.astimezone().replace(tzinfo=None)
        for moment in (ended - timedelta(seconds=record.seconds), ended)
    )
    return FrozenTrial(
        number=record.number,
        trial_id=-1,  # given by the storage
        state=state(record),
        value=score(record),
        params=dict(record.params),
        distributions={name: distributions[name] for name in record.params},
        user_attrs=attributes(record),
        system_attrs={},
        intermediate_values={step: float(value) for step, value in record.rungs.items()},
        datetime_start=began,
        datetime_complete=ended,
    )


def state(record: TrialRecord) -> TrialState:
    """Optuna's word for how a trial ended. Without a score a trial cannot be complete there."""
    from optuna.trial import TrialState

    if record.state == "failed":
        return TrialState.FAIL
    return (
        TrialState.COMPLETE if record.state == "complete" and score(record) is not None else TrialState.PRUNED
    )


def score(record: TrialRecord) -> float | None:
    """The score that Optuna may be given: never NaN, and none for a failed trial."""
    if record.state == "failed" or record.value is None or math.isnan(record.value):
        return None
    return float(record.value)


def attributes(record: TrialRecord) -> dict[str, Any]:
    """The user attributes of a trial: JSON values."""
    return {
        "reason": record.reason,
        "recipe": record.recipe,
        "seed": record.seed,
        "epochs": record.epochs,
        "best_epoch": record.best_epoch,
        "seconds": round(record.seconds, 6),
        **{f"validation_{name}": encode_number(value) for name, value in record.also.items()},
    }


def _begun(trial: Running, state: TrialState, distributions: Mapping[str, BaseDistribution]) -> FrozenTrial:
    from optuna.trial import create_trial

    return create_trial(
        state=state,
        params=dict(trial.params),
        distributions={name: distributions[name] for name in trial.params},
        user_attrs={"reason": IN_TRAINING},
        intermediate_values={step: float(value) for step, value in trial.rungs.items()},
    )


def _is_left(trial: FrozenTrial, under_way: TrialState) -> bool:
    """Whether nobody trains it any more: of this search, perhaps by a process that was killed."""
    from optuna.trial import TrialState

    return under_way == TrialState.WAITING and trial.user_attrs.get("reason") == IN_TRAINING


# ── storages ──


def _storage(where: Path | str, tell: Callable[[str], None]) -> tuple[BaseStorage, bool]:
    """The open storage, and whether it had to be made, or cut to what was whole."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with _held(where, "optuna"):
        return (_database(where), False) if isinstance(where, str) else _journal(where, tell)


def _database(url: str) -> RDBStorage:
    import sqlalchemy as sa
    from optuna.storages import RDBStorage

    if kind(url) != "sqlite":
        return RDBStorage(url, {"pool_pre_ping": True})
    storage = RDBStorage(url, {"connect_args": {"timeout": BUSY_SECONDS}})

    def configure(connection: Any, _record: object) -> None:
        # Readers and the writer never wait for each other; the journal of the study is the truth.
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")

    storage.remove_session()
    storage.engine.dispose()
    sa.event.listen(storage.engine, "connect", configure)
    return storage


def _journal(file: Path, tell: Callable[[str], None]) -> tuple[JournalStorage, bool]:
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock, JournalStorage

    lock = JournalFileOpenLock(str(file), grace_period=DEAD_SECONDS)

    def load() -> JournalStorage:
        return JournalStorage(JournalFileBackend(str(file), lock_obj=lock))

    if not file.exists() or file.stat().st_size == 0:
        return load(), True
    cut = 0 if is_whole(file) else _cut(file, lock)
    try:
        storage = load()
    except OSError:
        raise
    except Exception:  # Optuna's reader says nothing of a damaged line but where Python stumbled over it
        cut += _cut(file, lock)
        try:
            storage = load()
        except Exception:  # every line is whole, and they do not belong together
            cut = file.stat().st_size
            file.replace(file.with_name(f"{file.name}.damaged"))
            storage = load()
    if cut:
        tell(f"{file}: was damaged; {cut} bytes were cut off, and what they said is written again")
    return storage, bool(cut)


def _cut(file: Path, lock: Any) -> int:
    """Cut a journal file off where it is no more one whole record a line; how many bytes that were."""
    lock.acquire()
    try:
        with file.open("r+b") as log:
            whole = 0
            for line in log:
                if not _is_record(line):
                    break
                whole += len(line)
            cut = log.seek(0, 2) - whole
            log.truncate(whole)
            return cut
    finally:
        lock.release()


def _is_record(line: bytes) -> bool:
    try:
        return line.endswith(b"\n") and isinstance(json.loads(line), dict)
    except ValueError:
        return False


def _restore(storage: BaseStorage, file: Path, tell: Callable[[str], None], but: str = "") -> None:
    """Bring every study whose outcome the home has: others than `but`, which the caller brings himself."""
    for folder in sorted(file.parent.glob("studies/*")):
        try:
            outcome = outcomes.load(folder) if folder.name != but else None
        except StoreError as error:
            tell(str(error))
            continue
        if outcome is not None:
            _bring_all(_Open.study(file, storage, _described(outcome)), outcome)


def _bring_all(opened: _Open, outcome: Outcome) -> None:
    left = {trial.number: trial for trial in outcome.trials}
    while left and (written := opened.write(left, {})):
        left = {number: trial for number, trial in left.items() if number not in written}
    if outcome.selection is not None and not left:
        opened.mark(outcome.selection)


def _described(outcome: Outcome) -> Described:
    return Described(outcome.study, outcome.metric, outcome.direction, outcome.axes, outcome.question)


@contextmanager
def _held(where: Path | str, name: str) -> Iterator[None]:
    """Be the only living process that does this there."""
    with database.hold(database.connect(where if isinstance(where, str) else sqlite(where)), name):
        yield


def _shut(opened: _Open | None) -> None:
    if opened is not None and isinstance(opened.where, str):
        opened.storage.remove_session()
        opened.storage.engine.dispose()  # type: ignore[attr-defined]


def _sentence(where: Path | str, error: Exception) -> str:
    """What went wrong and where, on one line and without the password."""
    if isinstance(error, StoreError):
        return str(error)
    inner = error.__cause__ if isinstance(error.__cause__, Exception) else error
    return f"{redact(str(where))}: {reason(inner, str(where))}"
