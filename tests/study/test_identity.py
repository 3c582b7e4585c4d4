"""A score is shown for the very model and file that it was made with, whatever is exchanged.

One small study over a CSV file is run to its end; every case takes a copy of its home, exchanges something
there or in the data, and asks again from the command line.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import closing, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from mlflow import MlflowClient

from tests.helpers.end_to_end import workbench
from workbench.cli.main import main
from workbench.core.files import write_record
from workbench.core.locations import resolve
from workbench.evaluation import saved_model
from workbench.storage import journal as spool
from workbench.storage import ledger, outcomes
from workbench.study import contents as stamps
from workbench.study import workflow
from workbench.study.config import Study, read_study
from workbench.study.identity import identified
from workbench.study.results import ledger_of

STUDY = """\
name     = "months"
question = "Does the promise hold?"
seed     = 1

[data]
source = "train.csv"
target = "label"

[model]
family = "mlp"
width  = { low = 2, high = 16 }

[optimizer]
learning_rate = { low = 1e-4, high = 1e-1, log = true }

[training]
epochs     = 3
batch_size = 16

[search]
trials = 1
seeds  = 1
pruner = "none"

[select]
rule = "single"
"""


def write_rows(path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(120, 4))
    label = np.where(x[:, 0] + 0.7 * rng.normal(size=120) > 0, "yes", "no")
    lines = [",".join([*map("{:.4f}".format, row), said]) for row, said in zip(x, label, strict=True)]
    path.write_text("\n".join(["a,b,c,d,label", *lines]) + "\n")


class Told(NamedTuple):
    """What a command said and how it ended."""

    status: int
    result: dict[str, Any]
    err: str

    @property
    def figure(self) -> float | None:
        return None if self.result.get("test") is None else float(self.result["test"]["value"])


def write_journal(path: Path, records: list[dict[str, Any]]) -> None:
    path.unlink()
    with closing(spool.Journal(path)) as journal:
        journal.append(records)


class Case(NamedTuple):
    """A study file, a home for it, and how to ask."""

    file: Path
    home: Path

    def ask(self, command: str, *words: str) -> Told:
        with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as err:
            status = main([command, str(self.file), *words, "--home", str(self.home), "--json"])
        return Told(status, json.loads(out.getvalue().splitlines()[-1]), err.getvalue())

    def predict(self) -> Told:
        return self.ask("predict", str(self.file.parent / "rows.csv"), "-o", str(self.home / "out.csv"))

    @property
    def folder(self) -> Path:
        return resolve(str(self.home)).study(read_study(self.file).id)

    @property
    def model(self) -> Path:
        return self.folder / "model"

    def tested(self) -> str:
        """Fingerprint of the model that the ledger has the first score of."""
        recorded = ledger.openings(ledger_of(resolve(str(self.home))))[0].recorded
        assert recorded is not None
        return recorded.opening.choice

    def told_to_mlflow(self) -> tuple[dict[str, float], str]:
        """The test figures of the study's run, and what the champion is said to be."""
        uri = f"sqlite:///{self.home}/mlflow.db"
        client = MlflowClient(uri, uri)
        champion = client.get_model_version_by_alias("months", "champion")
        run = client.get_run(champion.run_id)
        tested = {key: value for key, value in run.data.metrics.items() if key.startswith("test_")}
        assert (run.data.tags["tested_model"] == "none") == (not tested)
        return tested, str(champion.description)


class Made(NamedTuple):
    """What all cases begin with."""

    file: Path
    home: Path  # one trial, confirmed
    more: Path  # a home of its own on the same storage, with nine trials
    first: Told
    other: Told


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("identity")
    file = folder / "study.toml"
    file.write_text(STUDY)
    write_rows(folder / "train.csv", 1)
    write_rows(folder / "rows.csv", 2)
    first = Case(file, folder / "home").ask("run")
    storage = f"sqlite:///{folder}/home/workbench.db"
    other = Case(file, folder / "more").ask("run", "--trials", "9", "--storage", storage)
    assert (first.status, other.status) == (0, 0), first.err + other.err
    return Made(file, folder / "home", folder / "more", first, other)


@pytest.fixture
def case(made: Made, tmp_path: Path) -> Iterator[Case]:
    """A copy of the finished home; the data and the study file are as they were when the case is over."""
    shutil.copytree(made.home, tmp_path / "home")
    data = made.file.parent / "train.csv"
    rows = data.read_bytes()
    yield Case(made.file, tmp_path / "home")
    data.write_bytes(rows)
    made.file.write_text(STUDY)


# ── the choice ──────────────────────────────────────────────────────────────────────────────────


def test_another_choice_under_the_same_study_gets_no_figure(made: Made) -> None:
    """Two homes on one storage, the second with more trials."""
    assert made.first.figure is not None
    assert made.other.result["best"]["trial"] != made.first.result["best"]["trial"], "or it is no case"
    assert made.other.result["study"] == made.first.result["study"]
    assert (made.other.figure, made.other.result["status"]) == (None, "searched")
    assert made.other.result["baselines"] == {}
    assert "for another model" in made.other.result["note"]
    assert made.other.result["note"] in made.other.err
    says_nothing_of_a_test(next((made.more / "studies").iterdir()) / "report.md")


def says_nothing_of_a_test(report: Path) -> None:
    text = report.read_text()
    assert "There is no test figure for this model" in text
    assert "Test accuracy | **none**" in text
    assert "sealed" not in text
    assert "rows, opened once" not in text
    assert ", test accuracy" not in text, "of a baseline"


def exchanged(case: Case, made: Made) -> None:
    shutil.rmtree(case.model)
    shutil.copytree(made.more / "studies" / case.folder.name / "model", case.model)


def lost(case: Case, made: Made) -> None:
    del made
    (case.model / "parameters.npz").unlink()


def edited(change: Callable[[dict[str, Any]], None]) -> Callable[[Case, Made], None]:
    def edit(case: Case, made: Made) -> None:
        del made
        described = json.loads((case.model / "model.json").read_text())
        change(described)
        (case.model / "model.json").write_text(json.dumps(described))

    return edit


def flipped(case: Case, made: Made) -> None:
    del made
    content = bytearray((case.model / "parameters.npz").read_bytes())
    content[-200] ^= 1
    (case.model / "parameters.npz").write_bytes(content)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(exchanged, id="the model of another home"),
        pytest.param(lost, id="the parameters lost"),
        pytest.param(flipped, id="a bit of the parameters", marks=pytest.mark.slow),
        pytest.param(edited(lambda it: it.update(threshold=0.25)), id="the threshold"),
        pytest.param(
            edited(lambda it: it["preprocessor"].update(edited=True)),
            id="the preprocessing",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_model_that_is_not_the_tested_one(
    case: Case, made: Made, change: Callable[[Case, Made], None]
) -> None:
    change(case, made)
    shown = case.ask("show")
    assert (shown.status, shown.figure, shown.result["baselines"]) == (0, None, {})
    assert "is not the one that was chosen" in shown.result["note"]
    says_nothing_of_a_test(case.folder / "report.md")
    refused = case.predict()
    assert refused.status == 2
    assert "model" in refused.err
    assert not (case.home / "out.csv").exists()


@pytest.mark.parametrize(
    ("change", "trials"),
    [(lost, "9"), *(pytest.param(change, "1", marks=pytest.mark.slow) for change in (lost, exchanged))],
)
def test_the_tested_model_is_trained_again(
    case: Case, made: Made, change: Callable[[Case, Made], None], trials: str
) -> None:
    change(case, made)
    ran = case.ask("run", "--trials", trials)
    assert ran.status == 0, ran.err
    assert ran.figure == made.first.figure
    assert ran.result["best"] == made.first.result["best"]
    assert saved_model.holds(case.model, case.tested())
    assert case.predict().status == 0


def test_more_trials_after_the_opening_keep_the_tested_choice(case: Case, made: Made) -> None:
    began, before = time.perf_counter(), made.first.result["seconds"]["total"]
    for trials, more in (("9", ("--search-only",)), ("10", ())):
        ran = case.ask("run", "--trials", trials, *more)
        assert (ran.figure, ran.result["status"]) == (made.first.figure, "confirmed"), (
            "opened before: not sealed"
        )
        assert ran.result["best"] == made.first.result["best"]
        assert saved_model.holds(case.model, case.tested())
        seconds = ran.result["seconds"]["total"]
        assert before < seconds <= before + time.perf_counter() - began, "every second is counted once"


@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated")
def test_a_journal_that_is_gone(case: Case, made: Made) -> None:
    """The advice for a damaged one; the search is made anew, with more trials, and chooses another."""
    (case.folder / "journal").unlink()
    ran = case.ask("run", "--trials", "9")
    assert ran.status == 0, ran.err
    assert ran.result["best"] == made.other.result["best"]
    assert (ran.figure, ran.result["status"], ran.result["baselines"]) == (None, "searched", {})
    assert "for another model" in ran.result["note"]
    (aside,) = case.folder.glob("tested-*")
    assert saved_model.holds(aside, case.tested())
    assert str(aside) in ran.result["note"]
    tested, champion = case.told_to_mlflow()
    assert tested == {}
    assert champion.startswith("There is no test figure for this model")
    says_nothing_of_a_test(case.folder / "report.md")
    assert case.ask("show").figure is None
    assert len(ledger.openings(ledger_of(resolve(str(case.home))))) == 1, (
        "the record stays, and is the only one"
    )


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"model": ""}, id="of an earlier version"),
        pytest.param({"model": "0" * 64}, id="of another model"),
        pytest.param({"study": "months-00000000"}, id="of another study"),
    ],
)
def test_a_result_of_something_else_is_not_believed(case: Case, made: Made, change: dict[str, str]) -> None:
    document = json.loads((case.folder / "result.json").read_text())
    document["model"] = change.get("model", document["model"])
    document["result"] = {**document["result"], "study": change.get("study", case.folder.name)}
    written(case.folder / "result.json", document)
    assert not answers_at_once(case)


def written(path: Path, document: dict[str, Any]) -> None:
    """As if the product had written it."""
    document.pop("digest", None)
    write_record(path, document)


@pytest.mark.parametrize("digest", ["as it was", "taken out"])
def test_a_figure_that_was_edited_is_not_believed(case: Case, made: Made, digest: str) -> None:
    assert answers_at_once(case)
    for name in ("result.json", "outcome.json"):
        document = json.loads((case.folder / name).read_text())
        (document if name == "outcome.json" else document["result"])["test"]["value"] = 0.99
        if digest == "taken out":
            del document["digest"]
        (case.folder / name).write_text(json.dumps(document))
    assert not answers_at_once(case)
    shown = case.ask("show")
    if digest == "taken out":  # then the ledger's is shown
        assert shown.figure == made.first.figure
    else:
        assert (shown.status, "is damaged; remove result.json" in shown.err) == (2, True)
        ran = case.ask("run")
        assert (ran.status, ran.figure) == (0, made.first.figure)
        assert answers_at_once(case)
        assert case.ask("show").figure == made.first.figure


def test_outputs_that_were_edited_are_not_drawn(case: Case) -> None:
    with np.load(case.folder / "outputs.npz") as archive:
        arrays = {**archive, "outputs": archive["outputs"][::-1]}
    np.savez(case.folder / "outputs.npz", **arrays)
    outcome = outcomes.load(case.folder)
    assert outcome is not None
    assert not len(outcome.outputs)


def answers_at_once(case: Case) -> bool:
    study = identified(read_study(case.file), resolve(str(case.home))).study
    return workflow._held(study, resolve(str(case.home)), search_only=False) is not None


def test_an_outcome_of_another_study_is_not_believed(case: Case) -> None:
    document = json.loads((case.folder / "outcome.json").read_text())
    written(case.folder / "outcome.json", {**document, "study": "months-00000000"})
    for told in (case.ask("show"), case.predict(), case.ask("confirm")):
        assert told.status == 2
        assert "is of study months-00000000" in told.err


def test_an_outcome_of_another_home_is_held_against_the_model(case: Case, made: Made) -> None:
    shutil.rmtree(case.home)
    shutil.copytree(made.more, case.home)
    for name in ("outcome.json", "outputs.npz", "result.json", "test.npz"):
        shutil.copy(made.home / "studies" / case.folder.name / name, case.folder / name)
    shown = case.ask("show")
    assert shown.figure is None
    assert case.predict().status == 2
    assert not answers_at_once(case)


def test_a_journal_of_another_study_is_refused(case: Case) -> None:
    records = spool.read(case.folder / "journal")
    records[0]["id"] = "months-00000000"
    write_journal(case.folder / "journal", records)
    (case.folder / "result.json").unlink()
    told = case.ask("run")
    assert told.status == 2
    assert "is the journal of study months-00000000" in told.err


def test_refit_is_another_study(case: Case) -> None:
    case.file.write_text(STUDY + "refit = true\n")
    told = case.ask("show")
    assert told.status == 2
    assert "nothing is recorded of this study" in told.err


# ── the file ────────────────────────────────────────────────────────────────────────────────────


def overwritten(file: Path) -> None:
    write_rows(file, 3)


def overwritten_with_its_date(file: Path) -> None:
    before = file.stat()
    file.write_bytes(file.read_bytes().replace(b",yes\n", b",no\n", 1).replace(b",no\n", b",yes\n", 1))
    rows = file.read_bytes().splitlines(keepends=True)
    rows[1], rows[2] = rows[2], rows[1]
    file.write_bytes(b"".join(rows))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file.stat().st_size == before.st_size


def replaced_by_another(file: Path) -> None:
    draft = file.with_name("draft.csv")
    write_rows(draft, 4)
    os.utime(draft, ns=(file.stat().st_atime_ns, file.stat().st_mtime_ns))
    draft.replace(file)


@pytest.mark.parametrize(
    "change",
    [
        overwritten_with_its_date,
        *(pytest.param(change, marks=pytest.mark.slow) for change in (overwritten, replaced_by_another)),
    ],
)
def test_another_file_is_another_study(case: Case, made: Made, change: Callable[[Path], None]) -> None:
    data, old = case.file.parent / "train.csv", made.first.result["study"]
    rows = data.read_bytes()
    assert case.ask("run").figure == made.first.figure
    change(data)
    for told in (case.ask("show"), case.ask("confirm"), case.predict()):
        assert told.status == 2
        assert f"train.csv changed since study {old}, which stays as it is" in told.err
        assert len(told.err.splitlines()) == 1
    checked = case.ask("check")
    assert checked.result["study"] != old
    assert any(old in note for note in checked.result["notes"])
    data.write_bytes(rows)
    assert case.ask("run").figure == made.first.figure
    assert case.ask("show").figure == made.first.figure


@pytest.mark.slow  # a run
def test_an_edited_file_is_searched_anew_and_the_old_study_stays(case: Case, made: Made) -> None:
    data, old = case.file.parent / "train.csv", made.first.result["study"]
    rows = data.read_bytes()
    overwritten(data)
    ran = case.ask("run", "--search-only")
    new = ran.result["study"]
    assert (ran.status, ran.figure) == (0, None)
    assert f"train.csv changed since study {old}, which stays as it is; this is study {new}" in ran.err
    assert case.folder.name == new != old
    again = case.ask("run", "--search-only")
    assert again.result == ran.result
    assert "changed since" not in again.err
    data.write_bytes(rows)
    assert case.ask("run").result == made.first.result


def test_the_same_text_in_two_folders(case: Case, made: Made, tmp_path: Path) -> None:
    there = tmp_path / "february"
    there.mkdir()
    shutil.copy(case.file, there)
    write_rows(there / "train.csv", 5)
    february = case._replace(file=there / "study.toml")
    assert february.folder.name != case.folder.name
    told = february.ask("show")
    assert told.status == 2
    assert "changed since" not in told.err, "January's file is as it was"
    shutil.copy(case.file.parent / "train.csv", there)
    assert february.ask("run").result == made.first.result, "the same rows, the same study"


@pytest.mark.parametrize("folder", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_file_that_is_gone(case: Case, made: Made, folder: bool) -> None:
    data = case.file.parent / "train.csv"
    rows = data.read_bytes()
    assert case.ask("run").status == 0
    data.unlink()
    if folder:
        data.mkdir()
    for told in (case.ask("run"), case.ask("confirm")):
        assert told.status == 2
        assert told.err.startswith(f"{case.file}: train.csv: ")
        assert len(told.err.splitlines()) == 1
    shown = case.ask("show")
    assert (shown.status, shown.figure) == (0, made.first.figure)
    assert any("train.csv" in note for note in shown.result["notes"])
    predicted = case.predict()
    assert (predicted.status, predicted.result["study"]) == (0, made.first.result["study"])
    assert "train.csv" in predicted.err
    shutil.rmtree(case.home / "data")
    assert case.ask("show").status == 2, "nobody knows which file it was"
    if folder:
        data.rmdir()
    data.write_bytes(rows)


@pytest.mark.slow  # two runs
def test_a_study_of_an_earlier_version_goes_on_under_its_id(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = Case(tmp_path / "study.toml", tmp_path / "home")
    case.file.write_text(STUDY)
    for name in ("train.csv", "rows.csv"):
        shutil.copy(made.file.parent / name, tmp_path)
    with monkeypatch.context() as earlier:
        earlier.setattr(Study, "id_with", lambda self, digests: f"{self.name}-{self.fingerprint[:8]}")
        ran = case.ask("run")
        folder = case.folder
    assert ran.status == 0, ran.err
    assert ran.figure == made.first.figure
    as_it_was_written(folder)
    assert case.folder != folder
    shown = case.ask("show")
    assert (shown.result["study"], shown.figure) == (folder.name, made.first.figure)
    assert case.predict().result["study"] == folder.name
    again = case.ask("run")
    assert (again.result["study"], again.result["test"]) == (folder.name, ran.result["test"])
    assert case.ask("run").err.strip() == "finished before; this is the recorded result"
    assert [path.name for path in (case.home / "studies").iterdir()] == [folder.name]
    overwritten(tmp_path / "train.csv")
    told = case.ask("show")
    assert told.status == 2
    assert f"train.csv changed since study {folder.name}" in told.err


def as_it_was_written(folder: Path) -> None:
    """Take out of the records what earlier versions did not say."""
    records = spool.read(folder / "journal")
    for key in ("text", "files"):
        del records[0][key]
    write_journal(folder / "journal", records)
    for name in ("result.json", "outcome.json"):
        document = json.loads((folder / name).read_text())
        del document["model"], document["digest"]
        (folder / name).write_text(json.dumps(document))
    shutil.rmtree(folder.parent.parent / "data", ignore_errors=True)


def test_an_earlier_version_may_have_recorded_another_models_figure(case: Case, made: Made) -> None:
    """What it wrote of the figure is held against the ledger."""
    exchanged(case, made)
    for name in ("result.json", "outcome.json"):
        document = json.loads((case.folder / name).read_text())
        del document["model"], document["digest"]
        (case.folder / name).write_text(json.dumps(document))
    shown = case.ask("show")
    assert shown.figure is None
    assert "for another model" in shown.result["note"]
    outcome = outcomes.load(case.folder)
    assert outcome is not None
    assert outcome.test is not None, "what is recorded stays"


# ── how long it takes ───────────────────────────────────────────────────────────────────────────


@pytest.mark.slow  # a hundred megabytes
def test_a_finished_study_answers_at_once(case: Case, made: Made, tmp_path: Path) -> None:
    there = tmp_path / "large"
    there.mkdir()
    shutil.copy(case.file, there)
    rows = (case.file.parent / "train.csv").read_bytes()
    (there / "train.csv").write_bytes(rows * (100_000_000 // len(rows)))
    large = case._replace(file=there / "study.toml")
    shutil.copytree(case.folder, large.folder)
    document = json.loads((large.folder / "result.json").read_text())
    document["result"]["study"] = large.folder.name
    written(large.folder / "result.json", document)
    time.sleep(stamps.RECENT)
    words = ("run", str(large.file), "--home", str(large.home), "--json")
    spent = []
    for _ in range(3):
        before = os.times()
        assert workbench(*words).result["test"] == made.first.result["test"]
        after = os.times()
        spent.append(
            after.children_user + after.children_system - before.children_user - before.children_system
        )
    assert spent[0] < 1.5, "hashed once"
    assert min(spent[1:]) < 0.7, "and then known; of the processor, since the machine may be busy"
