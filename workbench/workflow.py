"""The main job from end to end: search, choose, retrain, open the test set once, report.

Each function takes a study and the places it is kept in, and returns the object that `--json` prints. The
steps stand in `session` (what a study has in hand while it runs); here is only their order, and what is
remembered when.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from workbench import outcomes, results
from workbench.display import Watch, silent
from workbench.errors import BusyError, DataError, StoreError, StudyError
from workbench.interrupts import insist
from workbench.places import Places
from workbench.reachable import check_reachable
from workbench.study import Study
from workbench.tracking_process import ahead

if TYPE_CHECKING:
    from workbench import growth
    from workbench.preparations import Preparations
    from workbench.types import Outcome

__all__ = ["check", "confirm", "ledger", "run", "search", "show"]

Result = dict[str, Any]
#: Seconds between two looks whether the study is free.
_PAUSE = 1.0


def run(
    study: Study,
    places: Places,
    *,
    search_only: bool = False,
    verdict_only: bool = False,
    watch: Watch | None = None,
) -> Result:
    """Search, choose, retrain, open the test set, report. A finished study gives its recorded result at once.

    verdict_only  a further look at rows that were opened before says whether the choice beats the recorded
    one,
                  and no score

    Raises InputError for what the user can mend, WorkbenchError if the work fails.
    """
    watch = watch or silent()
    held = _held(study, places, search_only=search_only)
    if held is not None and held.settled:
        watch.stage("finished before; this is the recorded result")
        return held.result
    try:
        if held is not None:
            check_reachable(places.tracking_uri)  # what is left to do is to tell MLflow
        with ahead():
            return _worked(study, places, watch, search_only=search_only, verdict_only=verdict_only)
    except StoreError as error:
        if held is None:
            raise
        watch.note(
            f"{error}; this is the recorded result, and MLflow or the Optuna storage still lacks some of it"
        )
        return held.result


def search(study: Study, places: Places, *, watch: Watch | None = None) -> Result:
    """`run`, but the test set stays sealed."""
    return run(study, places, search_only=True, watch=watch)


def confirm(
    study: Study, places: Places, watch: Watch | None = None, *, verdict_only: bool = False
) -> Result:
    """Open the test set of a finished search; if another process is doing so, its result is this one's.

    Raises StudyError if the search is not finished.
    """
    watch = watch or silent()
    outcome = outcomes.load(places.study(study.id))
    if outcome is None or outcome.selection is None:
        raise StudyError(
            f"{study.path}: the search of this study is not finished, and there is no choice to confirm; run "
            f"workbench run {study.path} --search-only first"
        )
    waiting = False
    while True:
        try:
            return run(study, places, verdict_only=verdict_only, watch=watch)
        except BusyError:
            if not waiting:
                watch.note("another process is at work on this study; waiting for what it finds")
            waiting = True
            time.sleep(_PAUSE)


def check(study: Study, places: Places) -> Result:
    """Validate and plan; train nothing and write nothing."""
    from workbench.planning import plan

    return plan(study, places)


def show(study: Study, places: Places, sizes: int = 0) -> Result:
    """The recorded result with best trials, importances and diagnosis; the report is written again.

    sizes  the choice is trained on so many parts of the training rows, for the report's learning curve

    Raises StudyError if nothing was recorded, or nothing was chosen that could be trained.
    """
    outcome = outcomes.load(places.study(study.id))
    if outcome is None:
        raise StudyError(
            f"{study.path}: nothing is recorded of this study under {places.home}; run workbench run "
            f"{study.path} first, or name its --home"
        )
    from workbench import growth
    from workbench.delivery import report
    from workbench.preparations import Preparations
    from workbench.workspace import development

    folder, remarks = places.study(study.id), []
    try:
        dataset, _ = development(study, folder / "journal")
        preparations = Preparations(dataset)
        if sizes:
            growth.save(_grown(outcome, study, places, preparations, sizes), folder)
        written = report(outcome, study, places, dataset, preparations)
    except DataError as error:  # what was recorded can be shown without its data
        if sizes:
            raise
        remarks.append(f"the report is without pictures of the model: {error}")
        written = report(outcome, study, places, None, None)
    return results.result(outcome, written.html) | {
        "top": results.best_trials(outcome),
        "importances": dict(written.importances),
        "diagnosis": [f"{finding} {advice}" for finding, advice in written.diagnosis],
        "sizes": [size._asdict() for size in growth.load(folder)],
        "notes": remarks,
    }


def ledger(places: Places, verify: bool = False) -> Result:
    """Every opening of every test set; with `verify`, whether the chain is whole."""
    from workbench import ledger as book

    held = results.ledger_of(places)
    findings = book.verify(held) if verify else []
    return {
        "openings": [results.opening(look) for look in book.openings(held)],
        "verified": not findings if verify else None,
        "problem": "; ".join(findings),
    }


def _worked(study: Study, places: Places, watch: Watch, *, search_only: bool, verdict_only: bool) -> Result:
    """The steps, in their order."""
    from workbench.session import Session

    with Session(study, places, watch) as session:
        if not session.search(confirming=not search_only):
            return session.interrupted()
        insist()
        session.choose()
        if not search_only:
            insist()
            session.confirm(verdict_only=verdict_only)
        insist()
        result = session.finish()
        insist()
        return result


def _grown(
    outcome: Outcome, study: Study, places: Places, preparations: Preparations, count: int
) -> tuple[growth.Size, ...]:
    from workbench import growth, space
    from workbench.devices import configure

    if outcome.selection is None:
        raise StudyError(
            f"{study.path}: nothing was chosen yet that --sizes could train; finish the search first"
        )
    configure(places.home / "cache" / "jax")
    values = space.resolve(study.settings, outcome.selection.settings)
    variant = space.variant(values)
    fold, problem = preparations.fold(variant), preparations.problem(variant)
    return growth.grow(values, fold, problem, outcome.metric, count=count, seed=study.seed)


def _held(study: Study, places: Places, *, search_only: bool) -> results.Held | None:
    """The result of an earlier run that answers this call, read without any heavy library."""
    held = results.load(places.study(study.id))
    wanted = ("searched", "confirmed") if search_only else ("confirmed",)
    if held is None or held.budget < study.search.trials or held.result["status"] not in wanted:
        return None
    if held.stopped and study.search.stop == "none":  # the rule that ended it was taken back
        return None
    return held
