"""What is known of a search that has not ended: of one that runs in another process, or was interrupted.

Everything stands in the journal, which is read and not opened; nothing is trained, and nothing is written.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from workbench.core import vocabulary
from workbench.core.records import Outcome, decode_number, decode_trial
from workbench.storage import journal
from workbench.study import results
from workbench.study.config import Study, metric_of
from workbench.study.workspace import development
from workbench.tuning.importances import importances


def under_way(study: Study, folder: Path) -> dict[str, Any] | None:
    """The result so far, with the keys that `show` has; None where no search has begun.

    Its status is `running` while a process is at it, else `interrupted`. Raises DataError if the rows are not
    there, StoreError if the journal is damaged.
    """
    file = folder / "journal"
    records = journal.read(file)
    if not records:
        return None
    dataset, _ = development(study, file)
    metric = metric_of(study, dataset.task)
    trials = [decode_trial(record) for record in records if record["kind"] == "trial"]
    sessions = [record for record in records if record["kind"] == "session"]
    outcome = Outcome(
        study=study.id,
        question=study.question,
        task=dataset.task,
        metric=metric,
        direction=vocabulary.METRICS[metric].direction,
        axes=study.axes,
        trials=tuple(sorted(trials, key=lambda trial: trial.number)),
        selection=None,
        test=None,
        data=dataset.summary(),
        classes=tuple(map(str, dataset.classes)),
        outputs=np.zeros((0, 1), np.float32),
        targets=np.zeros(0, np.int32),
        outputs_on="validation",
        seconds=sessions[-1]["seconds"] if sessions else {},
        programs=max((session["programs"] for session in sessions), default=0),
        mlflow={},
        environment={},
        study_file=study.text,
    )
    asked = sum(len(record["params"]) for record in records if record["kind"] == "ask")
    ended = {trial.number for trial in trials}
    launches = [one for one in records if one["kind"] == "launch" and one["trial"] not in ended]
    told = {int(one["trial"]): decode_number(one["score"]) for one in launches}
    status = "running" if journal.held(file) else "interrupted"
    return results.result(outcome, None, status=status) | {
        "under_way": {
            "budget": study.search.trials,
            "training": asked - len(trials),
            "scores": {str(number): score for number, score in told.items()},
        },
        "top": results.best_trials(outcome),
        "importances": importances(outcome.axes, outcome.trials, outcome.direction),
        "diagnosis": [],
        "sizes": [],
        "notes": [],
    }
