"""The model that a study delivers: found, held to be the one that was chosen, and written as an ONNX file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from workbench.core.errors import InputError, StoreError
from workbench.core.formatting import toml
from workbench.core.locations import Locations
from workbench.core.records import Outcome, Selection
from workbench.evaluation import onnx, saved_model
from workbench.evaluation.predictor import Predictor
from workbench.storage import journal, outcomes
from workbench.study.config import Study
from workbench.study.identity import Identity, identified


class Delivered(NamedTuple):
    """A model, and the study that chose it."""

    found: Identity
    outcome: Outcome
    selection: Selection
    folder: Path
    model: Predictor


def delivered(study: Study, locations: Locations) -> Delivered:
    """The chosen model of a study.

    Raises StudyError if none is chosen, StoreError if the one that is there is another one or damaged.
    """
    found = identified(study, locations)
    of_study = locations.study(found.study.id)
    outcome = outcomes.recorded(of_study, found.study.id)
    if outcome is None or outcome.selection is None:
        raise found.lacks(
            f"no model is chosen under {locations.home}; run workbench run {study.path} --search-only "
            "first, or name its --home"
        )
    folder = of_study / "model"
    model = saved_model.load(folder)
    chosen = outcome.model or _chosen(of_study)
    if chosen and not saved_model.holds(folder, chosen):
        raise StoreError(
            f"{folder}: is not the model that study {found.study.id} has chosen, it was exchanged or "
            f"changed; workbench run {study.path} trains the chosen one again"
        )
    return Delivered(found, outcome, outcome.selection, folder, model)


def export(study: Study, locations: Locations, output: Path) -> dict[str, Any]:
    """Write the chosen model of a study as an ONNX file: see `evaluation.onnx`.

    Raises as `delivered`; InputError if the file cannot be made there, or of this model.
    """
    where = f"-o = {toml(str(output))}"
    if output.suffix.lower() != ".onnx":
        raise InputError(f"{where}: a model is written as .onnx; end the name so")
    check_place(output, where)
    chosen = delivered(study, locations)
    with writing(output):
        onnx.export(chosen.model, output)
    return {
        "study": chosen.found.study.id,
        "trial": chosen.selection.trial,
        "model": saved_model.fingerprint(chosen.folder),
        "output": str(output),
        "notes": [str(chosen.found.missing)] if chosen.found.missing else [],
    }


def check_place(output: Path, where: str) -> None:
    """Raises InputError if no file could be written there, before any work is done."""
    if not output.absolute().parent.is_dir():
        raise InputError(f"{where}: the folder {output.parent} does not exist; make it first")
    if output.is_dir():
        raise InputError(f"{where}: is a folder; name a file in it")


@contextmanager
def writing(output: Path) -> Iterator[None]:
    """Raises StoreError for a file that the system refuses in the block."""
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"{output}: cannot be written ({error.strerror or error}); name another -o"
        ) from error


def _chosen(folder: Path) -> str:
    """Fingerprint of the model that was chosen last, where an outcome of an earlier version does not say."""
    models = [event["model"] for event in journal.read(folder / "journal") if event["kind"] == "choice"]
    return models[-1] if models else ""
