"""MLflow and the Optuna storage, brought up to date together and in the background.

Neither is asked for anything: what happened stands in the journal of the study, and both are told of it, as
often as need be.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from workbench.core import vocabulary
from workbench.core.files import private_folder
from workbench.core.locations import Locations, local_store
from workbench.core.records import Outcome, Selection, TrialRecord
from workbench.storage.optuna_mirror import Described, OptunaMirror, Running
from workbench.storage.tracking import Parent, Status, Tracker
from workbench.study.config import Study
from workbench.tuning import space
from workbench.tuning.trial import Trial, so_far

#: Seconds between two looks at what is in training: of MLflow, and of Optuna.
SHOWN_SECONDS = 2.0, 1.0
#: A look takes no more than this share of the time: of thousands in training it is rarer.
SHOWN_SHARE = 0.05
#: Seconds that the end of a run waits for each of the two, and for each trial that is not there yet; what is
#: left comes with the next run.
PATIENCE, PATIENCE_EACH = 120.0, 0.05


class Records:
    """The two, open.

    data     fingerprint of the development rows, a tag of the parent run
    began    when the study did, in seconds since 1970; None: now
    alive    the trials in training
    note     hears a sentence when one of them is in trouble
    seconds  that the caller was held up by them
    """

    def __init__(
        self,
        study: Study,
        locations: Locations,
        *,
        metric: str,
        data: str,
        note: Callable[[str], None],
        alive: Callable[[], Sequence[Trial]],
        began: float | None = None,
    ) -> None:
        self.seconds = 0.0
        self._alive = alive
        self._due = [time.perf_counter() + SHOWN_SECONDS[0], 0.0]  # when each of the two looks again
        self._note = note
        self._open = True
        artifacts = locations.home / "artifacts"
        if locations.tracking_uri == local_store(locations.home):
            private_folder(artifacts)  # rows are in it, as examples
        parent = _parent(study, metric, data, began)
        self._tracker = Tracker.open(locations.tracking_uri, parent, artifacts=artifacts, notify=note)
        described = Described(study.id, metric, parent.direction, space.axes(study.settings), study.question)
        self._mirror = OptunaMirror(locations.optuna, described, tell=note)

    def trials(self, finished: Sequence[TrialRecord]) -> None:
        """Hand over finished trials, and now and then those in training; nothing is written twice."""
        began = time.perf_counter()
        if finished:
            self._tracker.trials(finished)
        if self._is_due(0):
            self._tracker.running([so_far(trial, time.time()) for trial in self._alive() if trial.curves])
            self._looked(0, began)
        due = self._is_due(1)
        self._mirror.put(finished, self._running() if due else None)
        if due:
            self._looked(1, began)
        self.seconds += time.perf_counter() - began

    def _running(self) -> dict[int, Running]:
        return {trial.number: Running(trial.params, dict(trial.rungs)) for trial in self._alive()}

    def _is_due(self, which: int) -> bool:
        return time.perf_counter() >= self._due[which]

    def _looked(self, which: int, began: float) -> None:
        now = time.perf_counter()
        self._due[which] = now + max(SHOWN_SECONDS[which], (now - began) / SHOWN_SHARE)

    def choice(self, selection: Selection, model: Path) -> None:
        """Hand over the choice, and its model, to be logged while the test set is opened and so on."""
        self._mirror.choose(selection)
        self._tracker.model(model)

    def finish(self, outcome: Outcome, files: Mapping[str, Path], model: Path) -> None:
        """Hand over the end of the study."""
        self._tracker.finish(outcome, files=files, model=model)

    def where(self, timeout: float = 0.0) -> dict[str, str]:
        """The place in MLflow."""
        return self._tracker.where(timeout)

    def close(self, status: Status) -> bool:
        """Wait for what is under way, end the parent run; whether nothing is left to be written."""
        if not self._open:
            return True
        self._open = False
        began = time.perf_counter()
        self._mirror.put((), self._running())
        left = self._mirror.close(PATIENCE + PATIENCE_EACH * self._mirror.backlog)
        if left:
            self._note(f"{left} trials are not in the Optuna storage yet; the next run brings them")
        remainder = self._tracker.close(status, timeout=PATIENCE + PATIENCE_EACH * self._tracker.backlog)
        if remainder.any:
            lacks = f"{len(remainder.trials)} trials" if remainder.trials else "the end of the study"
            self._note(f"MLflow lacks {lacks} ({remainder.reason}); the next run brings them")
        self.seconds += time.perf_counter() - began
        return not left and not remainder.any


def _parent(study: Study, metric: str, data: str, began: float | None) -> Parent:
    searched = space.axes(study.settings)
    return Parent(
        study=study.id,
        name=study.name,
        metric=metric,
        direction=vocabulary.METRICS[metric].direction,
        question=study.question,
        seed=study.seed,
        began=began,
        axes=tuple(searched),
        params=space.resolve({key: one for key, one in study.settings.items() if key not in searched}, {}),
        tags={"workbench.data": data},
    )
