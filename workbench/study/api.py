"""The main job from Python: locations are known, progress is shown to who watches, a result is typed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Unpack

from workbench.core.errors import StudyError
from workbench.core.locations import Locations, resolve
from workbench.study import workflow
from workbench.study.config import Study, read_study
from workbench.study.locating import locations_of, study_file
from workbench.study.progress import watched, watching
from workbench.study.result import Result
from workbench.study.watch import Figures, Watch, silent

#: What is called after each rung; True ends the search there.
OnRung = Callable[[Figures], object]


def run(
    study: Study | str | Path,
    locations: Locations | str | Path | None = None,
    *,
    search_only: bool = False,
    verdict_only: bool = False,
    progress: bool | None = None,
    on_rung: OnRung | None = None,
    cluster: str | None = None,
) -> Result:
    """Search, choose, retrain, open the test set, report. A finished study gives its recorded result at once.

    A study that was interrupted, or stopped by `on_rung`, goes on where it was when it is run again.

    Args:
        study: What to do: a study, the path of a study file, or the name of a study that `create_study` made.
        locations: Where records are kept: as `resolve` gives them, or a home folder. None: the home that a
            created study is kept in, and else as `resolve` has it.
        search_only: Stop before the test set.
        verdict_only: A further look at rows that were opened before says whether the choice beats the
            recorded one, and no score.
        progress: Whether to show how far it is. None: in a notebook and on a terminal.
        on_rung: Called after each rung with the figures of the search (done, total, best_value, …); what it
            returns, if true, stops the search there.
        cluster: Where others are who help to train: tcp://HOST:PORT or the .json file of a scheduler, or
            local:N for N workers on this machine. None: what WORKBENCH_CLUSTER names, if it is set.

    Returns:
        The result, which is also the dictionary that `workbench run --json` prints: scores in the units of
        the metric, times in seconds.

    Raises:
        InputError: for what the user can mend.
        WorkbenchError: if the work fails.
    """
    study, where = _meant(study, locations)
    with _watch(progress, on_rung) as watch:
        document = workflow.run(
            study, where, search_only=search_only, verdict_only=verdict_only, watch=watch, cluster=cluster
        )
    return Result(document, where.study(document["study"]))


def search(
    study: Study | str | Path,
    locations: Locations | str | Path | None = None,
    *,
    progress: bool | None = None,
    on_rung: OnRung | None = None,
    cluster: str | None = None,
) -> Result:
    """`run`, but the test set stays sealed.

    Args:
        study: As in `run`.
        locations: As in `run`.
        progress: As in `run`.
        on_rung: As in `run`.
        cluster: As in `run`.

    Returns:
        As `run` does; `test` is None.

    Raises:
        InputError: for what the user can mend.
        WorkbenchError: if the work fails.
    """
    return run(study, locations, search_only=True, progress=progress, on_rung=on_rung, cluster=cluster)


def confirm(
    study: Study | str | Path,
    locations: Locations | str | Path | None = None,
    *,
    verdict_only: bool = False,
    progress: bool | None = None,
    cluster: str | None = None,
) -> Result:
    """Open the test set of a finished search; if another process is doing so, its result is this one's.

    Args:
        study: Whose search is finished; as in `run`.
        locations: As in `run`.
        verdict_only: As in `run`.
        progress: As in `run`.
        cluster: As in `run`.

    Returns:
        As `run` does.

    Raises:
        StudyError: if the search is not finished.
        WorkbenchError: if the work fails.
    """
    study, where = _meant(study, locations)
    with _watch(progress, None) as watch:
        document = workflow.confirm(study, where, watch, verdict_only=verdict_only, cluster=cluster)
    return Result(document, where.study(document["study"]))


def _meant(study: Study | str | Path, locations: Locations | str | Path | None) -> tuple[Study, Locations]:
    """The study, and where its records are."""
    if not isinstance(study, Study | str | Path):
        raise StudyError(
            f"study is {type(study).__name__}; give a study (wb.read_study, wb.create_study), the path of a "
            "study file, or the name of a study that wb.create_study made"
        )
    if not isinstance(study, Study):
        home = None if locations is None or isinstance(locations, Locations) else str(locations)
        named = locations if isinstance(locations, Locations) else resolve(home)
        study = read_study(study_file(study, named.home))
    return study, locations_of(study, locations)


@contextmanager
def _watch(progress: bool | None, on_rung: OnRung | None) -> Iterator[Watch]:
    drawing = nullcontext(silent()) if progress is False else watching() if progress else watched()
    with drawing as watch:
        yield watch if on_rung is None else _listened(watch, on_rung)


def _listened(watch: Watch, on_rung: OnRung) -> Watch:
    """The watch, whose search ends where the callback says so."""
    stop = False

    def progress(**figures: Unpack[Figures]) -> None:
        nonlocal stop
        watch.progress(**figures)
        stop = bool(on_rung(figures))

    return watch._replace(progress=progress, stop=lambda: stop)
