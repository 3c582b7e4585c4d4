"""The choice of real searches: by each rule, with folds and hold-outs, interrupted; what was declared."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest

import workbench as wb
from workbench.cli.main import main
from workbench.core.locations import Locations
from workbench.core.records import Outcome, encode, ranked
from workbench.evaluation.optimism import Optimism
from workbench.storage import journal as spool
from workbench.storage import ledger, outcomes
from workbench.study import choice, reproduce, results
from workbench.study.choice import compared
from workbench.tuning.finalists import Field, field, luck
from workbench.tuning.finalists import choice as best_finalist
from workbench.tuning.selection import FIRST_SEED, Again, few

pytestmark = pytest.mark.filterwarnings("ignore")  # of MLflow's own imports

STUDY = """\
name = "chosen"
question = "Which cultivar is it?"
[data]
source = "wine"
{data}
[model]
family = "mlp"
depth = 1
width = {{ low = 4, high = 12 }}
[optimizer]
learning_rate = {{ low = 1e-3, high = 1e-1, log = true }}
[training]
epochs = 4
[search]
trials = 16
pruner = "none"
seeds = {seeds}
[select]
{select}
"""


class Ran(NamedTuple):
    study: wb.Study
    locations: Locations
    outcome: Outcome
    result: dict[str, Any]


def written(folder: Path, *, select: str = "", data: str = "", seeds: int = 2) -> Path:
    file = folder / "chosen.toml"
    file.write_text(STUDY.format(select=select, data=data, seeds=seeds))
    return file


def searched(file: Path, home: Path) -> Ran:
    study, locations = wb.read_study(file), wb.resolve(home=str(home))
    result = wb.search(study, locations)
    outcome = outcomes.load(locations.study(study.id))
    assert outcome is not None
    return Ran(study, locations, outcome, result)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Ran]:
    """Searches, each made once."""
    home, known = tmp_path_factory.mktemp("home"), dict[Any, Ran]()

    def one(**keys: Any) -> Ran:
        name = tuple(sorted(keys.items()))
        if name not in known:
            known[name] = searched(written(tmp_path_factory.mktemp("study"), **keys), home)
        return known[name]

    return one


@pytest.mark.parametrize("rule", ["keep-default", "beyond-noise", "best"])
def test_finalists_are_compared_by_their_means(ran: Callable[..., Ran], rule: str) -> None:
    _, _, outcome, result = ran(select=f'rule = "{rule}"')
    chosen, finalists = outcome.selection, result["choice"]["finalists"]
    assert chosen is not None
    wanted = [trial.number for trial in ranked(outcome.trials, "maximize")[:2]]
    assert [one["trial"] for one in finalists] == [*wanted, *([0] if 0 not in wanted else [])]
    by_trial = {one["trial"]: one for one in finalists}
    assert result["best"]["validation"] == by_trial[chosen.trial]["mean"]
    assert result["default"]["validation"] == by_trial[0]["mean"]
    scores = [seed.validation for seed in chosen.seeds]
    assert [seed.seed for seed in chosen.seeds] == [FIRST_SEED, FIRST_SEED + 1]
    assert by_trial[chosen.trial]["mean"] == pytest.approx(np.mean(scores))
    assert by_trial[chosen.trial]["spread"] == pytest.approx(np.std(scores, ddof=1))
    assert by_trial[chosen.trial]["parameters"] * chosen.networks == chosen.parameters
    if rule == "best":
        assert result["best"]["validation"] == max(one["mean"] for one in finalists)
    assert result["best"]["validation"] >= result["default"]["validation"]
    assert math.isfinite(result["optimism"])


def test_the_best_single_score_is_still_to_be_had(ran: Callable[..., Ran]) -> None:
    study, _, outcome, result = ran(select='rule = "single"')
    first = ranked(outcome.trials, "maximize")[0]
    assert (result["best"]["trial"], result["best"]["validation"]) == (first.number, first.value)
    assert result["default"]["validation"] == outcome.trials[0].value
    assert result["choice"] == {"rule": "single", "seeds": 2, "finalists": [], "default_kept": False}
    assert study.id != ran(select='rule = "best"').study.id, "another rule is another study"


def test_the_chosen_model_is_its_first_seeds(ran: Callable[..., Ran]) -> None:
    study, locations, outcome, _ = ran(select='rule = "best"')
    again = reproduce.reproduce(str(study.path), locations, lambda note: None)
    assert again["agrees"], again
    assert outcome.selection is not None
    recorded = outcome.selection.seeds[0]
    assert again["recorded"] == pytest.approx(float(recorded.curves.validation_score[-1]))


@pytest.mark.parametrize(("data", "trainings"), [("folds = 3", 3), ("holdouts = 4", 4)])
def test_seeds_take_turns_at_folds_and_hold_outs(
    ran: Callable[..., Ran], data: str, trainings: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen: list[list[list[Again]]] = []

    def spied(*arguments: Any) -> list[list[Again]]:
        seen.append(compared(*arguments))
        return seen[-1]

    monkeypatch.setattr(choice, "compared", spied)
    _, _, outcome, result = searched(written(tmp_path, data=data), tmp_path / "home")
    (trained,) = seen
    for agains in trained:
        assert [one.model.program.variant.division for one in agains] == list(range(1, trainings + 1))
        assert [one.record.seed for one in agains] == [FIRST_SEED + k for k in range(trainings)]
    means = [np.mean([one.record.validation for one in agains]) for agains in trained]
    assert [one["mean"] for one in result["choice"]["finalists"]] == pytest.approx(means)
    assert outcome.selection is not None
    assert len(outcome.selection.seeds) == 2, "of the split's own rows"
    assert math.isfinite(result["optimism"])


def test_one_seed_is_a_mean_over_one(tmp_path: Path) -> None:
    _, _, outcome, result = searched(written(tmp_path, seeds=1), tmp_path / "home")
    assert outcome.selection is not None
    assert result["best"]["validation"] == outcome.selection.seeds[0].validation
    assert {one["spread"] for one in result["choice"]["finalists"]} == {None}
    assert math.isfinite(result["optimism"])


def test_finalists_are_lanes_that_do_not_know_of_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is, to the bit, what it is when it is trained alone."""

    def checked(study: wb.Study, here: Any, trials: Any) -> list[list[Again]]:
        together = compared(study, here, trials)
        alone = [compared(study, here, [one])[0] for one in trials]
        for mine, theirs in zip(together, alone, strict=True):
            for one, other in zip(mine, theirs, strict=True):
                np.testing.assert_array_equal(one.record.curves, other.record.curves)
                np.testing.assert_array_equal(one.block, other.block)
        return together

    monkeypatch.setattr(choice, "compared", checked)
    searched(written(tmp_path), tmp_path / "home")


def failing(agains: list[Again]) -> list[Again]:
    """As if the last seed had diverged."""
    *whole, last = agains
    return [*whole, last._replace(record=replace(last.record, validation=math.nan), block=None)]


@pytest.mark.parametrize("all_of_them", [False, True])
def test_a_finalist_that_diverges_is_none(
    all_of_them: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def spoiled(study: wb.Study, here: Any, trials: Any) -> list[list[Again]]:
        trained = compared(study, here, trials)
        return [failing(one) if all_of_them or k == 0 else one for k, one in enumerate(trained)]

    monkeypatch.setattr(choice, "compared", spoiled)
    file = written(tmp_path)
    assert main(["run", str(file), "--search-only", "--home", str(tmp_path / "home"), "--json"]) == 0
    told = capsys.readouterr()
    result = json.loads(told.out.splitlines()[-1])
    assert "diverged when it was trained again, and is no finalist" in told.err
    if all_of_them:
        assert "the best single score decides" in told.err
        assert result["choice"]["finalists"] == []
    else:
        assert len(result["choice"]["finalists"]) >= 1
        assert all(one["mean"] is not None for one in result["choice"]["finalists"])


def test_a_choice_that_was_interrupted_is_made_again(
    ran: Callable[..., Ran], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, undisturbed = written(tmp_path), ran().outcome
    monkeypatch.setattr(choice, "keep", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        searched(file, tmp_path / "home")
    monkeypatch.undo()
    again = searched(file, tmp_path / "home").outcome
    assert again.selection is not None
    assert undisturbed.selection is not None
    assert encode(again.selection) == encode(undisturbed.selection)


def test_records_of_earlier_versions_are_read(ran: Callable[..., Ran], tmp_path: Path) -> None:
    outcome = ran(select='rule = "single"').outcome
    outcomes.save(outcome, tmp_path)
    assert outcomes.load(tmp_path).sizes == outcome.sizes  # type: ignore[union-attr]
    assert len(outcome.sizes) == sum(trial.state == "complete" for trial in outcome.trials) > 0
    document = json.loads((tmp_path / "outcome.json").read_text())
    del document["digest"]
    del document["sizes"]
    for key in ("rule", "finalists"):
        del document["selection"][key]
    del document["declared"]
    (tmp_path / "outcome.json").write_text(json.dumps(document))
    old = outcomes.load(tmp_path)
    assert old is not None
    assert results.result(old, None) == results.result(outcome, None)


def test_nothing_to_choose_from(tmp_path: Path) -> None:
    text = STUDY.format(select="", data="", seeds=2).replace("{ low = 4, high = 12 }", "6")
    file = tmp_path / "chosen.toml"
    file.write_text(text.replace("{ low = 1e-3, high = 1e-1, log = true }", "0.01").replace("= 16", "= 1"))
    result = searched(file, tmp_path / "home").result
    assert result["best"]["trial"] == 0
    assert [one["trial"] for one in result["choice"]["finalists"]] == [0]
    assert result["choice"]["default_kept"] is False, "there was nothing else"
    assert result["optimism"] == 0.0


# ── what was said beforehand ────────────────────────────────────────────────────────────────────


def test_what_would_count_is_declared_and_a_change_is_seen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "home"

    def run(*words: str, select: str = "smallest_gain = 0.01", question: str = "cultivar") -> Any:
        file = written(tmp_path, select=select)
        file.write_text(file.read_text().replace("cultivar", question))
        assert main(["run", str(file), *words, "--home", str(home), "--json"]) == 0
        return json.loads(capsys.readouterr().out.splitlines()[-1])

    before = run("--search-only")
    assert before["declared"]["smallest_gain"] == 0.01
    assert (before["declared"]["trials"], before["declared"]["opened"]) == (0, False)
    assert (before["declared"]["earlier"], before["declared"]["reached"]) == ([], None)
    study = before["study"]
    (kept,) = ledger.declarations(results.ledger_of(wb.resolve(home=str(home))), study)
    assert kept.fingerprint == wb.read_study(tmp_path / "chosen.toml").declaration
    trained = sum(event["kind"] == "launch" for event in spool.read(home / "studies" / study / "journal"))

    moved = run(select="smallest_gain = 0.5")
    assert moved["study"] == study
    assert (moved["declared"]["trials"], moved["declared"]["opened"]) == (16, False)
    assert [one["smallest_gain"] for one in moved["declared"]["earlier"]] == [0.01]
    assert moved["declared"]["reached"] == "not reached"
    assert run(select="smallest_gain = 0.5") == moved

    asked = run(select="smallest_gain = 0.5", question="vineyard")
    assert asked["declared"]["opened"] is True
    assert len(asked["declared"]["earlier"]) == 2
    assert asked["test"] == moved["test"]
    gone = run(select="", question="vineyard")
    assert gone["declared"]["smallest_gain"] is None
    assert len(gone["declared"]["earlier"]) == 3
    report = (home / "studies" / study / "report.md").read_text()
    assert "declared after the test set was opened, before which it was 0.01" in report
    journal = spool.read(home / "studies" / study / "journal")
    assert sum(event["kind"] == "launch" for event in journal) == trained, "nothing was trained again"

    assert main(["ledger", "--verify", "--home", str(home), "--json"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["verified"] is True
    assert len(told["openings"]) == 1


@pytest.mark.parametrize(
    ("select", "says"),
    [
        ('rule = "bestest"', 'rule = "bestest" is not known; did you mean "best"?'),
        ("smallest_gain = -0.1", "smallest_gain = -0.1 must be a number of at least 0"),
        ('smallest_gain = "0.1"', "is text; write the number without quotes"),
        ("smallest_gain = { low = 0, high = 1 }", "cannot be searched"),
    ],
)
def test_bad_keys_are_refused(
    select: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", str(written(tmp_path, select=select)), "--home", str(tmp_path)]) == 2
    assert says in capsys.readouterr().err


# ── what a shortlist of a search that prunes owes to luck ───────────────────────────────────────


class Simulated(NamedTuple):
    """Finalists of a simulated search that prunes two thirds at each of three rungs."""

    search: Any
    shortlist: list[Any]
    trained: list[list[Any]]
    finalists: Field
    truth: float  # of every trial on these rows


def pruned_search(seed: int, *, trials: int = 100, rows: int = 100, persists: float = 0.9) -> Simulated:
    """All trials are equally good; other seeds show `persists` of what one has on a row."""
    rng = np.random.default_rng(seed)
    common, kept = rng.normal(size=rows), rng.normal(size=(trials, rows))
    fresh, own = math.sqrt(persists), math.sqrt(1 - persists)
    scores = common + 0.6 * (fresh * kept + own * rng.normal(size=(trials, rows)))
    shown = [scores.mean(axis=1)]
    for _ in range(3):
        noise = rng.normal(0, 0.6 / math.sqrt(rows), trials)
        shown.insert(0, common.mean() + 0.9 * (shown[0] - common.mean()) + math.sqrt(1 - 0.9**2) * noise)
    alive, rungs = np.ones(trials, bool), [dict[int, float]() for _ in range(trials)]
    for k, seen in enumerate(shown):
        for t in np.flatnonzero(alive):
            rungs[t][3**k] = float(seen[t])
        if k < 3:
            best = np.argsort(-np.where(alive, seen, -np.inf))[: -(-int(alive.sum()) // 3)]
            alive &= np.isin(np.arange(trials), [0, *best])  # the default is never pruned
    records = [
        SimpleNamespace(
            number=t, rungs=rungs[t], state="complete" if alive[t] else "pruned",
            reason="" if alive[t] else "pruned",
        )
        for t in range(trials)
    ]  # fmt: skip
    ended = [int(t) for t in np.flatnonzero(alive) if t]
    order = sorted(ended, key=lambda t: -float(scores[t].mean()))[: few(trials)]
    again = common + 0.6 * (fresh * kept + own * rng.normal(size=(3, trials, rows)))
    model = SimpleNamespace(program=SimpleNamespace(variant=SimpleNamespace(division=0)))
    trained = [[SimpleNamespace(block=each[t], model=model) for each in again] for t in (*order, 0)]
    return Simulated(
        SimpleNamespace(
            blocks={int(t): scores[t] for t in np.flatnonzero(alive)}, trials=dict(enumerate(records))
        ),
        [records[t] for t in (*order, 0)],
        trained,
        field(
            again[:, [*order, 0]].mean(axis=2).T,
            np.zeros(len(trained)),
            np.ones(len(trained)),
            list(again[:, [*order, 0]]),
            [0, 0, 0],
            default=len(order),
            maximize=True,
        ),
        float(common.mean()),
    )


def shortlisted(made: Simulated, **data: Any) -> tuple[Optimism, float]:
    study = SimpleNamespace(seed=0, data=SimpleNamespace(**{"holdouts": 0, "folds": 0} | data))
    here = SimpleNamespace(metric="accuracy")
    return choice._shortlisted(made.search, made.shortlist, made.trained, here, study)  # type: ignore[arg-type]


def test_passing_the_rungs_counts_as_luck_of_the_choice() -> None:
    estimates, truths = [], []
    for seed in range(12):
        made = pruned_search(seed)
        kept = best_finalist(made.finalists, "keep-default")
        estimates.append(luck(made.finalists, "keep-default", kept, *shortlisted(made)).estimate)
        truths.append(made.finalists.scores[kept].mean() - made.truth)
    assert 0.8 <= sum(estimates) / sum(truths) <= 1.3


def test_passing_the_rungs_counts_with_holdouts_as_well() -> None:
    """Of different rows: the same as the best single score owes."""
    made = pruned_search(0)
    whole, carried = shortlisted(made, holdouts=4)
    for record in made.search.trials.values():
        record.reason = ""
    among_complete, _ = shortlisted(made, holdouts=4)
    assert carried == 1.0
    assert whole.estimate > among_complete.estimate
