"""The configurations that a search begins with after the default: those of its file, then another study's.

They are decided when the study begins and kept in its journal, so that what the other study does later
changes nothing. They are trials like any other, but no pruner ends them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from workbench.core.errors import StudyError
from workbench.core.formatting import toml
from workbench.core.records import decode_trial, ranked
from workbench.core.types import Value
from workbench.core.vocabulary import METRICS
from workbench.storage.journal import read as read_journal
from workbench.study.config import Study
from workbench.study.config.reading import study_of
from workbench.study.locating import others_of
from workbench.tuning import space

#: Trials that are taken over from another study.
BEST = 5

Point = dict[str, Value]


def points(study: Study, folder: Path, metric: str) -> list[Point]:
    """A value for every axis that takes part, for each configuration: each once, but not the default.

    folder  of the study, beside those of the others
    metric  that decides

    Raises StudyError if the other study is not in this home, or has no trial with a score.
    """
    default = space.default(study.axes)
    given = [_of_axes(study, one) for one in study.search.start or ()]
    if study.search.start_from is not None:
        given += list(_best_of(study, folder, metric))
    found: list[Point] = []
    for one in given:
        if one != default and one not in found:
            found.append(one)
    return found


def _best_of(study: Study, folder: Path, metric: str) -> Iterator[Point]:
    """The best trials of the other study, as far as they are within these axes."""
    other = _other(study, folder)
    trials = [decode_trial(record) for record in read_journal(other / "journal") if record["kind"] == "trial"]
    best = ranked(trials, METRICS[metric].direction)
    if not best:
        raise StudyError(
            f"{study.path}: [search] start_from = {toml(study.search.start_from)} has no complete trial yet; "
            "let it search first, or drop the key"
        )
    fixed = study_of((other / "study.toml").read_text(encoding="utf-8"), other / "study.toml").settings
    for trial in best[:BEST]:
        yield _of_axes(study, space.resolve(fixed, trial.params))


def _of_axes(study: Study, values: Mapping[str, object]) -> Point:
    """The default configuration but for those of the values that are on the axes of a study."""
    on = {name: space.on_axis(axis, values[name]) for name, axis in study.axes.items() if name in values}
    return space.completed(study.axes, {name: value for name, value in on.items() if value is not None})


def _other(study: Study, folder: Path) -> Path:
    """The folder of the study to start from: by its id, or the latest one of its name."""
    word = str(study.search.start_from)
    if folder.name != word and (folder.parent / word / "journal").exists():
        return folder.parent / word
    if (latest := next(others_of(word, folder, "journal"), None)) is not None:
        return latest
    raise StudyError(
        f"{study.path}: [search] start_from = {toml(word)} is no other study in {folder.parent}; name one by "
        "its name or id"
    )
