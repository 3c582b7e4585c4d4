"""What a study file may say of a sampler, and what is said of what it may not."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

import workbench as wb
from tests.helpers.bad_input_cases import refused, study_text
from tests.helpers.suggest_cases import (
    STUDY,
    past,
    suggest,
)
from workbench.core import vocabulary
from workbench.core.errors import StudyError
from workbench.core.formatting import toml
from workbench.core.types import Axis, Range
from workbench.tuning import sampler_words
from workbench.tuning.sampler_words import read
from workbench.tuning.samplers import check


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("tpe", "tpe"),
        ("brute force", "brute_force"),
        ({"name": "tpe"}, "tpe"),
        ({"name": "cmaes", "sigma0": 0.2}, {"name": "cmaes", "sigma0": 0.2}),
        ({"name": "tpe", "multivariate": False, "n_startup_trials": 4}, None),
        (
            {"name": "brute force", "avoid_premature_stop": True},
            {"name": "brute_force", "avoid_premature_stop": True},
        ),
    ],
)
def test_what_a_file_may_hold(value: Any, kept: Any, tmp_path: Path) -> None:
    assert read(value) == (kept or value)
    (tmp_path / "x.toml").write_text(STUDY.format(sampler=toml(value)))
    study = wb.read_study(tmp_path / "x.toml")
    assert study.search.sampler == (kept or value)
    assert study.search.sampler_name == sampler_words.named(kept or value)[0]
    check(study.axes, study.search.sampler)
    varied = wb.vary(wb.vary(study, sampler="random"), sampler=value)
    (tmp_path / "y.toml").write_text(varied.text)
    assert wb.read_study(tmp_path / "y.toml").search == varied.search
    assert varied.id == study.id
    assert wb.vary(study, sampler="random").id != study.id


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("tp", 'is not known; did you mean "tpe"?'),
        (3, 'must be "tpe", "random", "qmc"'),
        ({"choices": ["tpe"]}, "cannot be searched"),
        ({"sigma0": 0.2}, "has no name"),
        ({"name": "cma", "sigma0": 0.2}, 'has the name "cma", which is not known; did you mean "cmaes"?'),
        ({"name": "cmaes", "sigma": 0.2}, "argument sigma, which Optuna's CmaEsSampler does not take; did"),
        ({"name": "random", "x": 1}, "argument x, which Optuna's RandomSampler does not take; it takes none"),
        ({"name": "tpe", "seed": 1}, "the study's own seed decides"),
        ({"name": "tpe", "gamma": 3}, "argument gamma, which is an object of Python"),
        ({"name": "grid", "search_space": {}}, "argument search_space, which is an object of Python"),
        ({"name": "tpe", "n_startup_trials": 2.5}, "n_startup_trials = 2.5, which must be a whole number"),
        ({"name": "tpe", "n_startup_trials": True}, "n_startup_trials = true, which must be a whole number"),
        ({"name": "tpe", "group": 1}, "group = 1, which must be true or false"),
        ({"name": "cmaes", "sigma0": "a"}, 'sigma0 = "a", which must be a number'),
        ({"name": "qmc", "qmc_type": 1}, "qmc_type = 1, which must be text in quotes"),
    ],
    ids=str,
)  # fmt: skip
def test_what_is_refused_when_it_is_read(
    value: Any, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "x.toml"
    file.write_text(study_text("search", f"sampler = {toml(value)}"))
    argv = ["check", str(file), "--home", str(tmp_path / "home")]
    refused(argv, (f"{file}: [search] sampler = {toml(value)}", says), tmp_path, capsys)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({"name": "nsgaii", "population_size": 1}, "population_size"),
        ({"name": "tpe", "n_ei_candidates": 0}, "must be positive"),
        ({"name": "qmc", "qmc_type": "sobel"}, "Choose either `halton` or `sobol`"),
        ({"name": "cmaes", "x0": {"learning_rat": 0.1}}, "must contain all distributions"),
        ({"name": "cmaes", "lr_adapt": True, "with_margin": True}, "lr_adapt"),
    ],
    ids=str,
)
@pytest.mark.parametrize("command", ["check", "run"])
def test_what_optuna_refuses_is_refused_before_anything_trains(
    value: Any, says: str, command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "x.toml"
    text = study_text("search", f"sampler = {toml(value)}")
    file.write_text(text.replace("learning_rate = 0.01", "learning_rate = { low = 0.01, high = 0.1 }"))
    argv = [command, str(file), "--home", str(tmp_path / "home")]
    refused(argv, (f"{file}: [search] sampler = ", "is refused by Optuna", says), tmp_path, capsys)


@pytest.mark.parametrize("word", vocabulary.EXHAUSTIVE)
def test_an_endless_axis(word: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "x.toml"
    text = study_text("optimizer", "learning_rate = { low = 0.1, high = 0.2 }")
    file.write_text(text.replace("trials", f"sampler = '{word}'\ntrials"))
    says = (f"{file}: [optimizer] learning_rate", f'sampler = "{word}"', "add step")
    refused(["check", str(file), "--home", str(tmp_path / "home")], says, tmp_path, capsys)


def test_a_grid_that_is_too_large_to_list() -> None:
    axes: dict[str, Axis] = {name: Range(1, 100, integer=True) for name in "abcd"}
    with pytest.raises(
        StudyError, match=r'"grid" lists all combinations, and 100,000,000 are more.*brute_force'
    ):
        check(axes, "grid")
    check(axes, "brute_force")
    assert len(suggest(axes, past(20, axes=axes), 3, sampler="brute_force")) == 3


@pytest.mark.parametrize(
    ("word", "module", "package"), [("gp", "torch", "PyTorch"), ("cmaes", "cmaes", "cmaes")]
)
@pytest.mark.parametrize("command", ["check", "run"])
def test_a_missing_package_is_a_sentence(
    word: str, module: str, package: str, command: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == module else found(name, *rest)
    )
    file = tmp_path / "x.toml"
    file.write_text(study_text("search", f"sampler = '{word}'"))
    says = (
        f'{file}: [search] sampler = "{word}" needs {package}, which is not installed',
        f"pip install {module}",
    )
    refused([command, str(file), "--home", str(tmp_path / "home")], says, tmp_path, capsys)
