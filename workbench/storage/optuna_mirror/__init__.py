"""The Optuna study that users look at, with optuna-dashboard or `optuna.load_study`: written behind.

The search runs on its own journal. Here a thread brings an Optuna storage up to date from finished trials,
in bulk where its tables are known (`rows`), trial by trial elsewhere (`trials`). Training
never waits for it and never fails by it: a database that is locked or away is tried again until it is back,
and what is unwritten when the process ends is written when the same records are put again, since a trial
that is there already is skipped.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from workbench.core.addresses import reason, redact
from workbench.core.errors import StoreError
from workbench.core.records import TrialRecord
from workbench.core.types import Axis
from workbench.storage.optuna_mirror.trials import Direction, Writer

#: Seconds before a database that failed is tried again: doubled from the first to the last.
RETRY_SECONDS = (0.25, 30.0)
#: Seconds between two looks at the study while trials wait for one of another process (`trials`).
GAP_SECONDS = 5.0


class Storage:
    """A study in an Optuna storage and the thread that writes it; no trouble with the database raises here.

    url         Optuna's: `sqlite:///FILE`, `postgresql://…`
    study_name  made if it is not there, in the thread
    axes        the axes of the study, which a record's params are values of
    user_attrs  of the study: JSON values
    tell        hears one sentence when the database fails, and one if it is given up; called in the thread
    """

    def __init__(
        self,
        url: str,
        study_name: str,
        direction: Direction,
        axes: Mapping[str, Axis],
        user_attrs: Mapping[str, Any] | None = None,
        *,
        tell: Callable[[str], None],
    ) -> None:
        self._url, self._name, self._direction = url, study_name, direction
        self._axes, self._user_attrs, self._tell = dict(axes), dict(user_attrs or {}), tell
        self._pending: dict[int, TrialRecord] = {}
        self._changed = threading.Condition()
        self._awake = True  # there is something to do: to begin with, the study is opened
        self._up_to_date = self._given_up = self._closing = False
        self._thread = threading.Thread(target=self._run, name="optuna-storage", daemon=True)
        self._thread.start()

    def put(self, records: Iterable[TrialRecord]) -> None:
        """Hand over finished trials, in any order, and return at once. A trial that is there is skipped."""
        with self._changed:
            self._pending |= {record.number: record for record in records}
            self._up_to_date = False
            self._wake()

    def flush(self, timeout: float) -> int:
        """Wait at most `timeout` seconds until the database is up to date; how many trials are unwritten."""
        with self._changed:
            self._wake()
            self._changed.wait_for(lambda: self._up_to_date or self._given_up, max(0.0, timeout))
            return len(self._pending)

    def close(self, timeout: float) -> int:
        """`flush`, then stop the thread; how many trials are unwritten."""
        end = time.monotonic() + timeout
        self.flush(timeout)
        with self._changed:
            self._closing = True
            self._wake()
        self._thread.join(max(0.1, end - time.monotonic()))
        with self._changed:
            return len(self._pending)

    def _wake(self) -> None:
        self._awake = True
        self._changed.notify_all()

    # ── in the thread ──

    def _run(self) -> None:
        import sqlalchemy as sa
        from optuna.exceptions import StorageInternalError

        writer: Writer | None = None
        failures = 0
        while self._wait():
            try:
                writer = writer or _open(self._url, self._name, self._direction, self._axes, self._user_attrs)
                if waiting := self._waiting():
                    self._settle(writer.write(waiting))
                failures = 0
            except (sa.exc.DBAPIError, StorageInternalError, OSError) as error:
                if failures == 0:
                    said = _sentence(self._url, error)
                    # Locked or away: it comes back.
                    self._tell(f"{said}; finished trials are safe and will be written when it is back")
                _shut(writer)
                writer = None
                self._pause(min(RETRY_SECONDS[0] * 2**failures, RETRY_SECONDS[1]))
                failures = min(failures + 1, 16)
            except Exception as error:  # the edge of the thread: training goes on, and the user hears of it
                said = _sentence(self._url, error)
                self._tell(f"{said}; the Optuna study is not kept up to date, everything else is")
                with self._changed:
                    self._given_up = True
                    self._wake()
                break
        _shut(writer)

    def _wait(self) -> bool:
        """Sleep until there is something to do; False when nothing more is to come."""
        with self._changed:
            while not (self._awake or self._closing):
                self._up_to_date = not self._pending
                self._changed.notify_all()
                if not self._changed.wait(GAP_SECONDS if self._pending else None):
                    break
            self._awake = False
            return not self._closing

    def _pause(self, seconds: float) -> None:
        """Sleep after a failure. New trials do not shorten it; the end does."""
        with self._changed:
            self._changed.wait_for(lambda: self._closing, seconds)
            self._awake = True

    def _waiting(self) -> list[TrialRecord]:
        with self._changed:
            return list(self._pending.values())

    def _settle(self, written: set[int]) -> None:
        with self._changed:
            for number in written:
                self._pending.pop(number, None)
            self._awake |= bool(written and self._pending)


def reap(url: str, study_name: str, keep: Collection[int] = ()) -> int:
    """Tell Optuna that RUNNING trials of a study failed, except those in `keep`; how many there were.

    To be called when nobody works on them. The workbench itself writes finished trials only: what is
    RUNNING was asked for by somebody else, and a process that was killed leaves its trials so for ever,
    where they mislead samplers. Raises StoreError if the database cannot be used.
    """
    import optuna
    import sqlalchemy as sa
    from optuna.exceptions import StorageInternalError
    from optuna.trial import TrialState

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.RandomSampler()  # the default one takes a moment to make
    try:
        storage = optuna.storages.RDBStorage(url)
        try:
            study = optuna.load_study(study_name=study_name, storage=storage, sampler=sampler)
            running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
            stale = [trial.number for trial in running if trial.number not in keep]
            for number in stale:
                study.tell(number, state=TrialState.FAIL)
        finally:
            storage.remove_session()
            storage.engine.dispose()
    except KeyError:  # there is no such study
        return 0
    except (sa.exc.SQLAlchemyError, StorageInternalError, RuntimeError, ImportError) as error:
        raise StoreError(
            f"{_sentence(url, error)}; check that it can be reached, or name another with --storage"
        ) from error
    return len(stale)


def _open(
    url: str, name: str, direction: Direction, axes: Mapping[str, Axis], user_attrs: Mapping[str, Any]
) -> Writer:
    from workbench.storage.optuna_mirror import rows, trials
    from workbench.tuning.space import distributions

    words = distributions(axes)
    writer = rows.open_study(url, name, direction, words, user_attrs) if rows.known() else None
    return writer or trials.open_study(url, name, direction, words, user_attrs)


def _shut(writer: Writer | None) -> None:
    if writer is not None:
        writer.close()


def _sentence(url: str, error: Exception) -> str:
    """What went wrong and where, on one line and without the password."""
    if isinstance(error, StoreError):
        return str(error)
    inner = error.__cause__ if isinstance(error.__cause__, Exception) else error
    return f"{redact(url)}: {reason(inner, url)}"
