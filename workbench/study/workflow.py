"""The main job from end to end: search, choose, retrain, open the test set once, report.

Each function takes a study and the places it is kept in, and returns the object that `--json` prints. The
steps stand in `session` (what a study has in hand while it runs); here is only their order, and what is
remembered when.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.core.errors import BusyError, DataError, StoreError, StudyError, of_system
from workbench.core.locations import Locations, check_reachable
from workbench.evaluation.saved_model import holds
from workbench.storage import outcomes
from workbench.storage.journal import held
from workbench.storage.optuna_mirror import restore
from workbench.storage.tracking import ahead
from workbench.study import results
from workbench.study.cluster import address_of
from workbench.study.config import Study, check_testable
from workbench.study.identity import identified
from workbench.study.interrupts import insist
from workbench.study.watch import Watch, silent

if TYPE_CHECKING:
    from workbench.core.records import Outcome
    from workbench.study import learning_curve
    from workbench.study.preparations import Preparations


Result = dict[str, Any]
#: Seconds between two looks whether the study is free.
_PAUSE = 1.0


def run(
    study: Study,
    locations: Locations,
    *,
    search_only: bool = False,
    verdict_only: bool = False,
    watch: Watch | None = None,
    cluster: str | None = None,
) -> Result:
    """Search, choose, retrain, open the test set, report. A finished study gives its recorded result at once.

    Args:
        study: What to do.
        locations: Where records are kept, as `resolve` gives them.
        search_only: Stop before the test set.
        verdict_only: A further look at rows that were opened before says whether the choice beats the
            recorded one, and no score.
        watch: Whom to tell how far it is; None: nobody.
        cluster: Where others are who help to train; None: what WORKBENCH_CLUSTER names, if it is set.

    Returns:
        What `workbench run --json` prints: scores in the units of the metric, times in seconds.

    Raises:
        InputError: for what the user can mend.
        WorkbenchError: if the work fails.
    """
    watch, cluster = watch or silent(), address_of(cluster)
    if not search_only:
        check_testable(study)
    found = identified(study, locations)
    study = found.study
    held = _held(study, locations, search_only=search_only)
    if found.remark:
        watch.note(found.remark)
    if held is not None and found.missing is not None:
        raise found.missing
    if held is not None and held.settled:
        restore(locations.optuna, watch.note)
        watch.stage("finished before; this is the recorded result")
        return held.result
    try:
        if held is not None:
            check_reachable(locations.tracking_uri)  # what is left to do is to tell MLflow
        with ahead():
            return _worked(
                study, locations, watch, cluster, search_only=search_only, verdict_only=verdict_only
            )
    except StoreError as error:
        if held is None:
            raise
        watch.note(
            f"{error}; this is the recorded result, and MLflow or the Optuna storage still lacks some of it"
        )
        return held.result


def confirm(
    study: Study,
    locations: Locations,
    watch: Watch | None = None,
    *,
    verdict_only: bool = False,
    cluster: str | None = None,
) -> Result:
    """Open the test set of a finished search; if another process is doing so, its result is this one's.

    Args:
        study: Whose search is finished.
        locations: Where its records are, as `resolve` gives them.
        watch: Whom to tell how far it is; None: nobody.
        verdict_only: As in `run`.
        cluster: As in `run`.

    Returns:
        As `run` does.

    Raises:
        StudyError: if the search is not finished.
        WorkbenchError: if the work fails.
    """
    watch, cluster = watch or silent(), address_of(cluster)
    found = identified(study, locations)
    if found.missing is not None:
        raise found.missing
    outcome = outcomes.recorded(locations.study(found.study.id), found.study.id)
    if outcome is None or outcome.selection is None:
        raise found.lacks(
            "the search of this study is not finished, and there is no choice to confirm; run "
            f"workbench run {study.path} --search-only first"
        )
    waiting = False
    while True:
        try:
            return run(study, locations, verdict_only=verdict_only, watch=watch, cluster=cluster)
        except BusyError:
            if not waiting:
                watch.note("another process is at work on this study; waiting for what it finds")
            waiting = True
            time.sleep(_PAUSE)


def check(study: Study, locations: Locations) -> Result:
    """Validate and plan; train nothing and write nothing."""
    from workbench.study.plan import plan

    found = identified(study, locations, keep=False)
    planned = plan(found.study, locations)
    return {**planned, "notes": [*filter(None, [found.remark]), *planned["notes"]]}


def show(study: Study, locations: Locations, sizes: int = 0) -> Result:
    """The recorded result with best trials, importances and diagnosis; the report is written again.

    Of a search that has not ended, what is known so far.

    sizes  the choice is trained on so many parts of the training rows, for the report's learning curve

    Where the report cannot be written, the notes say so. Raises StudyError if nothing was recorded, or
    nothing was chosen that could be trained.
    """
    found = identified(study, locations)
    study, folder = found.study, locations.study(found.study.id)
    outcome = outcomes.recorded(folder, study.id)
    if outcome is None:
        from workbench.study.under_way import under_way

        if not sizes and (so_far := under_way(study, folder)) is not None:
            return {**so_far, "notes": [*filter(None, [found.remark]), *so_far["notes"]]}
        raise found.lacks(
            f"nothing is recorded of this study under {locations.home}; run workbench run {study.path} "
            "first, or name its --home"
        )
    from workbench.study import learning_curve
    from workbench.study.preparations import Preparations
    from workbench.study.report import content, report
    from workbench.study.workspace import development

    outcome, strange = _of_its_model(outcome, study, locations)
    remarks = [remark for remark in (found.remark, found.missing and str(found.missing)) if remark]
    if held(folder / "journal"):
        remarks.append("a process is at work on this study: what it has found since is not in here")
    said = outcome.declared[-1].fingerprint if outcome.declared else None
    if (said or study.smallest_gain is not None) and said != study.declaration:
        remarks.append(
            "the file's question, rule or smallest_gain is not what was declared; workbench run records that"
        )
    try:
        if strange:
            raise DataError(strange)
        dataset, _ = development(study, folder / "journal")
        preparations = Preparations(dataset)
        if sizes:
            learning_curve.save(_grown(outcome, study, locations, preparations, sizes), folder)
        shown = content(outcome, study, locations, dataset, preparations)
    except DataError as error:  # what was recorded can be shown without its data
        if sizes:
            raise
        remarks.append(f"the report is without pictures of the model: {error}")
        shown = content(outcome, study, locations, None, None)
    html = None
    try:
        html = report(shown, outcome, study, locations).html
    except OSError as error:  # a home that may only be read, or a full disk
        told = of_system(error)
        if told is None:
            raise
        remarks.append(f"the report is not written again: {told}")
    return results.result(outcome, html) | {
        "top": results.best_trials(outcome),
        "importances": dict(shown.importances),
        "diagnosis": [f"{finding} {advice}" for finding, advice in shown.diagnosis],
        "sizes": [size._asdict() for size in learning_curve.load(folder)],
        "notes": remarks,
    }


def ledger(locations: Locations, verify: bool = False) -> Result:
    """Every opening of every test set; with `verify`, whether the chain is whole."""
    from workbench.storage import ledger as book

    held = results.ledger_of(locations)
    findings = book.verify(held) if verify else []
    return {
        "openings": [results.opening(look) for look in book.openings(held)],
        "verified": not findings if verify else None,
        "problem": "; ".join(findings),
    }


def _worked(
    study: Study, locations: Locations, watch: Watch, cluster: str, *, search_only: bool, verdict_only: bool
) -> Result:
    """The steps, in their order."""
    from workbench.study.session import Session

    with Session(study, locations, watch, cluster) as session:
        if not session.search(confirming=not search_only):
            return session.interrupted()
        insist()
        session.choose()
        insist()
        if search_only:
            session.recall()
        else:
            session.confirm(verdict_only=verdict_only)
        insist()
        result = session.finish()
        insist()
        return result


def _of_its_model(outcome: Outcome, study: Study, locations: Locations) -> tuple[Outcome, str]:
    """The outcome as it may be shown beside the model that lies in the folder of the study.

    Test figures are those of the ledger, if it has them. Where that is not the model of the record, there
    are none, and the reason why is the second.
    """
    folder = locations.study(study.id)
    if outcome.selection is None:
        return outcome, ""
    if outcome.model:
        strange = "" if holds(folder / "model", outcome.model) else _strange(folder, study)
    else:  # records of earlier versions do not say; the ledger does, of a model that was tested
        strange = ""
    if outcome.test is not None and not strange:
        from workbench.study.confirmation import recorded

        told = recorded(results.ledger_of(locations), study=study.id, folder=folder)
        if told is not None and not told.withheld:
            score, beside = told.recorded.score, told.recorded.extra.get("baselines", {})
            return replace(outcome, test=score, baselines=beside), ""
        if told is not None or not outcome.model:
            strange = _strange(folder, study) if told is None else told.withheld
    if not strange:
        return outcome, ""
    bare = replace(
        outcome,
        test=None,
        baselines={},
        withheld=outcome.withheld or strange,
        outputs=outcome.outputs[:0],
        targets=outcome.targets[:0],
        weights=None,
        outputs_on="validation",
    )
    return bare, strange


def _strange(folder: Path, study: Study) -> str:
    return (
        f"the model in {folder / 'model'} is not the one that was chosen: it was exchanged, changed or lost, "
        f"and no test figure is its own; workbench run {study.path} trains the chosen one again"
    )


def _grown(
    outcome: Outcome, study: Study, locations: Locations, preparations: Preparations, count: int
) -> tuple[learning_curve.Size, ...]:
    from workbench.study import learning_curve
    from workbench.training.devices import configure
    from workbench.tuning import space

    if outcome.selection is None:
        raise StudyError(
            f"{study.path}: nothing was chosen yet that --sizes could train; finish the search first"
        )
    configure(locations.home / "cache" / "jax")
    values = space.resolve(study.settings, outcome.selection.settings)
    variant = space.variant(values)
    fold, problem = preparations.fold(variant), preparations.problem(variant)
    own = preparations.dataset.weights(preparations.dataset.train)
    return learning_curve.grow(values, fold, problem, outcome.metric, count=count, seed=study.seed, own=own)


def _held(study: Study, locations: Locations, *, search_only: bool) -> results.Held | None:
    """The result of an earlier run that answers this call, read without any heavy library."""
    folder = locations.study(study.id)
    held = results.load(folder)
    wanted = ("searched", "confirmed") if search_only else ("confirmed",)
    if held is None or held.budget < study.search.trials or held.result["status"] not in wanted:
        return None
    if held.result["study"] != study.id or not holds(folder / "model", held.model):
        return None  # of another study or model, or of a version that did not say of which
    if held.stopped and not study.search.ends(held.result.get("stopped") or ""):
        return None
    said = held.result.get("declared")
    if (said or study.smallest_gain is not None) and (said or {}).get("fingerprint") != study.declaration:
        return None  # what would count was changed, which the ledger and the report have to say
    return held
