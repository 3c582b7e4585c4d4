"""The report says what the outcome holds, in one file that loads nothing, with all foreign text escaped."""

from __future__ import annotations

import base64
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.helpers import outcomes
from workbench.cli import present
from workbench.cli.present import stated
from workbench.core.locations import resolve
from workbench.core.records import Outcome, TestScore
from workbench.evaluation import plots, report
from workbench.evaluation.report.sentences import answer, comparison, gain, percent, rival, seeds, warning
from workbench.evaluation.report.tables import checklist, environment_rows
from workbench.storage import outcomes as saved
from workbench.study import results
from workbench.study.config import read_study

VOID = {"meta", "img", "br", "link"}
ADVICE = [("High variance.", "More data.")]


class Page(HTMLParser):
    """A strict reader: every tag is closed in order; texts, images and addresses are kept."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.addresses: list[str] = []
        self.words = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        if tag == "img":
            self.images.append(dict(attrs))
        self.addresses += [
            value or "" for name, value in attrs if name in ("src", "href", "srcset", "action")
        ]
        assert not any(name.startswith("on") for name, _ in attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


def written(outcome: Outcome, folder: Path, **options: object) -> tuple[report.Report, Page, str]:
    figures = plots.all_figures(outcome, outcomes.IMPORTANCES)
    made = report.write(outcome, figures, outcomes.IMPORTANCES, ADVICE, folder, **options)  # type: ignore[arg-type]
    page = Page(made.html.read_text(encoding="utf-8"))
    page.words = " ".join(page.words.replace("\u00a0", " ").split())
    return made, page, made.markdown.read_text(encoding="utf-8")


@pytest.mark.parametrize("outcome", [outcomes.classification(40), outcomes.regression(40)])
def test_one_file_with_every_figure_and_nothing_from_elsewhere(outcome: Outcome, tmp_path: Path) -> None:
    made, page, markdown = written(outcome, tmp_path / "report")
    figures = plots.all_figures(outcome, outcomes.IMPORTANCES)
    files = {path.name: path.read_bytes() for path in (tmp_path / "report" / "figures").iterdir()}
    assert set(files) == {f"{name}.png" for name in figures}
    prefix = "data:image/png;base64,"
    embedded = [base64.b64decode(str(image["src"]).removeprefix(prefix)) for image in page.images]
    assert sorted(embedded) == sorted(files.values())
    assert all(str(image["alt"]).strip() for image in page.images)
    assert all(address.startswith(prefix) for address in page.addresses)
    html = made.html.read_text(encoding="utf-8")
    assert not re.search(r"https?://|@import|url\(|<script|<link", html)
    assert "viewport" in html
    assert "@media print" in html
    linked = re.findall(r"\]\((figures/[a-z_]+\.png)\)", markdown)
    assert sorted(linked) == sorted(f"figures/{name}" for name in files)


def test_the_answer_stands_in_both_pages(tmp_path: Path) -> None:
    outcome = replace(outcomes.classification(40), test=TestScore("accuracy", 0.9781, 0.9571, 0.9892, 360, 1))
    _, page, markdown = written(outcome, tmp_path, gain_interval=(0.003, 0.021))
    sentence = "On 360 sealed test rows, opened once, accuracy is 0.978 (95 % interval 0.957 to 0.989)."
    assert answer(outcome) == sentence
    for text in (page.words, markdown):
        assert sentence in text
        assert outcome.question in text
        assert "95 % interval 0.003 to 0.021): more than noise" in text
        assert "High variance." in text
        assert "More data." in text
        assert "17,482 parameters" in text
        assert "workbench run digits-mlp.toml" in text
        assert "sha256:5d1c9c6f0b1f7a7d" in text
        assert "Not a first look" not in text
    assert outcome.study_file in markdown
    for part in ("compiled programs", "time, compile", "jax", "2 CPU cores", "within each class", "trial 0"):
        assert part in page.words


def test_sections_come_in_the_order_of_the_argument(tmp_path: Path) -> None:
    made, _, markdown = written(outcomes.regression(20), tmp_path)
    ids = re.findall(r'<section id="([a-z]+)"', made.html.read_text(encoding="utf-8"))
    assert ids == ["compared", "model", "search", "errors", "diagnosis", "data", "reproduce", "checklist"]
    heads = re.findall(r"^## (.+)$", markdown, re.MULTILINE)
    assert len(heads) == len(ids)
    assert heads[-1] == "Reproducibility checklist"


def test_a_search_says_that_the_test_set_is_sealed(tmp_path: Path) -> None:
    outcome = outcomes.classification(40, confirmed=False)
    _, page, markdown = written(outcome, tmp_path)
    for text in (page.words, markdown):
        assert "test set is still sealed" in text
        assert "opened once" not in text
    assert ("Test accuracy", "sealed", "no test row has been read") in comparison(outcome)
    assert "validation rows" in page.words


def test_a_third_look_is_said_loudly(tmp_path: Path) -> None:
    outcome = outcomes.with_look(outcomes.regression(20), 3)
    made, page, markdown = written(outcome, tmp_path)
    for text in (page.words, markdown):
        assert "look number 3" in text
        assert "opened 2 times before" in text
    assert 'role="alert"' in made.html.read_text(encoding="utf-8")
    assert "> **WARNING" in markdown
    assert "opened once" not in page.words
    assert warning(outcomes.regression(2)) is None
    assert "once before" in str(warning(outcomes.with_look(outcomes.regression(2), 2)))


def test_what_users_wrote_is_escaped(tmp_path: Path) -> None:
    evil = '<script>alert("x")</script>'
    base = outcomes.classification(20, classes=2)
    outcome = replace(
        base,
        question=f"{evil} a|b *c* `d`",
        study_file=f"```\n{evil}\n",
        data={"name": evil, "target": "a|b"},
        classes=(evil, "{{ 7 * 7 }}"),
        environment={"hardware": evil},
    )
    figures = plots.all_figures(outcome, {})
    made = report.write(outcome, figures, {evil: 0.5}, [(evil, evil)], tmp_path, command=evil)
    html, markdown = (path.read_text(encoding="utf-8") for path in made)
    page = Page(html)
    assert "script" not in page.tags
    assert evil in page.words
    assert "{{" not in html.replace("{{ 7 * 7 }}", "")
    assert r"a\|b \*c\* \`d\`" in markdown
    outside = re.sub(r"(?ms)^(`{3,}).*?^\1$", "", markdown)
    assert "<script" not in outside.replace(r"\<script", "")
    assert "````toml" in markdown


def test_passwords_of_servers_are_left_out() -> None:
    uri = "postgresql://me:secret@db.example:5432/mlflow"
    rows = dict(environment_rows(replace(outcomes.classification(2), mlflow={"tracking_uri": uri})))
    assert rows["MLflow tracking uri"] == "postgresql://me:***@db.example:5432/mlflow"


def test_nothing_chosen_and_nothing_finished(tmp_path: Path) -> None:
    outcome = replace(outcomes.classification(3, confirmed=False), selection=None, trials=())
    made = report.write(outcome, {}, None, None, tmp_path)
    page = Page(made.html.read_text(encoding="utf-8"))
    assert "no trial has finished" in page.words
    assert "No configuration has been chosen" in page.words


def test_a_figure_of_the_users_own_is_shown_too(tmp_path: Path) -> None:
    outcome = outcomes.classification(3)
    made = report.write(outcome, {"my_picture": plots.search_history(outcome)}, None, None, tmp_path)
    assert "More pictures" in made.html.read_text(encoding="utf-8")
    assert "![My picture](figures/my_picture.png)" in made.markdown.read_text(encoding="utf-8").replace(
        "\\", ""
    )


def test_the_checklist_says_what_is_missing() -> None:
    outcome = outcomes.classification(10)
    full = {item.question: item for item in checklist(outcome, "workbench run x.toml")}
    assert all(item.done for item in full.values())
    assert full["From which seeds was it trained again?"].answer == "7, 8, 9"
    bare = checklist(replace(outcome, data={}, environment={}, seconds={}), "x")
    missing = [item.question for item in bare if not item.done]
    assert "Which hardware?" in missing
    assert "Which data, and how can they be recognized?" in missing


def test_figures_in_words() -> None:
    assert [percent(p) for p in (0.95, 0.983)] == ["95 %", "98.3 %"]
    outcome = outcomes.regression(30)
    assert outcome.selection is not None
    assert "no more than noise" in str(gain(outcome, (-5.0, 90.0)))
    worse = replace(outcome, selection=replace(outcome.selection, default=0.0))
    assert "nothing better" in str(gain(worse, None))
    one = replace(outcome.selection, seeds=outcome.selection.seeds[:1])
    assert str(seeds(replace(outcome, selection=one))).endswith("(one seed)")
    wide = replace(outcome, test=TestScore("rmse", 40213.7, 38203.2, 42627.4, 800, 1))
    assert "RMSE is 40,214 (95 % interval 38,203 to 42,627)" in answer(wide)
    exact = replace(outcome, metric="r2", test=TestScore("r2", 1.0, 1.0, 1.0, 800, 1))
    assert "R² is 1 " in answer(exact)


WITHHELD = 'too few rows of class "yes" (3) for an interval; 5 are needed'
WARNED = "too few rows (60) for an interval that rare large errors cannot break"


@pytest.mark.parametrize(
    ("low", "high", "note", "said"),
    [
        (math.nan, math.nan, WITHHELD, f"no interval: {WITHHELD}"),
        (0.8, 0.95, WARNED, f"interval 0.80 to 0.95: {WARNED}"),
        (0.8, 0.95, "", "95 % interval 0.80 to 0.95"),
    ],
)
def test_an_interval_is_called_by_its_confidence_only_where_it_is_one(
    low: float, high: float, note: str, said: str, tmp_path: Path
) -> None:
    """In the report, in the panel and in JSON; what is recorded comes back with its reason."""
    score = TestScore("accuracy", 0.9, low, high, 60, 1, note=note)
    figures = {"value": 0.9, "gain": 0.1, "low": 0.0, "high": 0.2} | ({"note": note} if note else {})
    if math.isnan(low):
        figures |= {"low": None, "high": None}
    outcome = replace(outcomes.classification(20), test=score, baselines={"linear": figures})
    assert said in answer(outcome)
    line = next(remark for name, _, remark in comparison(outcome) if "Linear model" in name)
    assert note in line
    assert ("95 %" in line) == (not note)
    found = results.result(outcome, None)["test"]
    assert found["note"] == note
    assert (found["low"] is None) == math.isnan(low)
    assert stated(found).startswith(said[:11])
    saved.save(outcome, tmp_path)
    again = saved.load(tmp_path)
    assert again is not None
    assert again.test is not None
    assert again.test.note == note


def compared(gain: float, low: float | None, high: float | None, **more: str) -> Outcome:
    """Digits with baselines as the ledger gives them back, by name."""
    plain = outcomes.classification(20)
    assert plain.test is not None
    figures = {"value": plain.test.value - gain, "gain": gain, "low": low, "high": high, **more}
    other = {"value": 0.5, "gain": 0.4, "low": 0.3, "high": 0.5}
    beside = {"boosted": figures, "default": other, "linear": other, "trivial": other}
    return replace(plain, baselines=beside)


@pytest.mark.parametrize(
    ("low", "high", "more", "end"),
    [
        (-0.02, -0.004, {}, "(95 % interval −0.02 to −0.004): more than noise."),
        (-0.02, 0.004, {}, "(95 % interval −0.02 to 0.004): no more than noise may do."),
        (None, None, {"note": "too few rows"}, "(no interval: too few rows)."),
        (-0.02, -0.004, {"note": "few groups"}, "(interval −0.02 to −0.004: few groups)."),
    ],
)
def test_a_better_rival_is_said_first(
    low: float | None, high: float | None, more: dict[str, str], end: str, tmp_path: Path
) -> None:
    outcome = compared(-0.012, low, high, **more)
    assert outcome.test is not None
    said = rival(outcome)
    assert said is not None
    assert said.startswith("Gradient boosting is better on these rows: ")
    assert f" against {outcome.test.value:.4g}, gain of ours −0.012 {end}" in said
    paths, page, _ = written(outcome, tmp_path)
    assert said in " ".join(page.words.replace("\u00a0", " ").split())
    lines = paths.markdown.read_text(encoding="utf-8").splitlines()
    place = next(j for j, line in enumerate(lines) if "Gradient boosting is better" in line)
    assert place < next(j for j, line in enumerate(lines) if line.startswith("## "))


@pytest.mark.parametrize("gain", [0.0, 0.012])
def test_a_rival_that_is_not_better_makes_no_headline(gain: float) -> None:
    assert rival(compared(gain, gain - 0.01, gain + 0.01)) is None


def test_the_comparison_leads_with_default_linear_boosted_and_ours() -> None:
    outcome = compared(-0.012, -0.02, -0.004, about="the best of 6 configurations")
    names = [name.split(",")[0] for name, *_ in comparison(outcome)]
    expected = [
        "Default configuration",
        "Linear model",
        "Gradient boosting",
        "Test accuracy",
        "Class frequencies",
    ]
    assert names[:5] == expected
    line = comparison(outcome)[2][2]
    assert line.startswith("the best of 6 configurations; the choice is worse by 0.012 (95 % interval")
    assert list(results.result(outcome, None)["baselines"]) == ["default", "linear", "boosted", "trivial"]


def test_an_outcome_of_an_earlier_version_is_shown_as_it_is() -> None:
    outcome = compared(-0.012, -0.02, -0.004)
    outcome = replace(outcome, baselines={k: v for k, v in outcome.baselines.items() if k != "boosted"})
    assert rival(outcome) is None
    assert not [name for name, *_ in comparison(outcome) if "boosting" in name]
    assert list(results.result(outcome, None)["baselines"]) == ["default", "linear", "trivial"]


def test_people_see_a_better_rival_below_the_score(capsys: pytest.CaptureFixture[str]) -> None:
    study = read_study(Path("studies/digits-mlp.toml"))
    result = results.result(compared(-0.012, -0.02, -0.004), None)
    present.run(result, study, resolve(home="somewhere"))
    lines = capsys.readouterr().out.splitlines()
    assert "test accuracy" in lines[1]
    assert "gradient boosting is better on these rows" in lines[2]
    left_out = {"value": None, "gain": None, "low": None, "high": None, "note": "left out: too wide"}
    present.run(result | {"baselines": {"boosted": left_out}}, study, resolve(home="somewhere"))
    shown = capsys.readouterr().out
    assert "gain over boosted    –; left out: too wide" in shown
    assert "is better on these rows" not in shown


def test_trials_that_diverged_are_told_from_those_without_a_value() -> None:
    outcome = outcomes.classification(20)
    ends = ["diverged", "undefined", "diverged"]
    scored = [replace(trial, reason="") for trial in outcome.trials]
    odd = [replace(trial, state="pruned", reason=why) for trial, why in zip(scored[1:4], ends, strict=True)]
    trials = (scored[0], *odd, *scored[4:])
    result = results.result(replace(outcome, trials=trials), None)
    said = result["trials"]
    assert result["without_score"] == {"diverged": 2, "without a value of the metric": 1}
    assert sum(said[state] for state in ("complete", "pruned", "failed")) == said["total"] == 20
    assert results.result(replace(outcome, trials=tuple(scored)), None)["without_score"] is None
