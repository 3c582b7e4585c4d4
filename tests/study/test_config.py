"""Study files: what is read is what was written, whatever its order; what is varied reads back."""

from __future__ import annotations

import dataclasses
import math
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.core import vocabulary
from workbench.core.errors import StudyError
from workbench.core.types import Choice, DataSpec, Range, SearchSpec, Split
from workbench.study.config import Study, check_fit, metric_of, notes, read_study, vary
from workbench.study.config.schema import SETTINGS

STUDIES = sorted((Path(__file__).parents[2] / "studies").glob("*.toml"))
SMALL = 'name = "small"\n[data]\nsource = "wine"\n'


DEFAULTS = """
scale = "standardize"
degree = 1
numbers = "plain"
bins = 48
target_transform = "none"
family = "mlp"
depth = 2
width = 64
taper = 1.0
widths = ""
activation = "relu"
initializer = "auto"
init_scale = 0.05
blocks = 2
kernel = 3
channels = 16
pooling = "max"
padding = "same"
residual_blocks = 0
global_pooling = "none"
output = "last"
bidirectional = false
norm = "none"
embedding = "none"
frequencies = 16
sigma = 0.1
members = 8
ensemble = 1
optimizer = "adam"
learning_rate = 1e-3
momentum = 0.9
beta2 = 0.999
schedule = "constant"
warmup = 0.0
final = -1
power = 1.0
boundaries = ""
scales = ""
pct_start = 0.3
div_factor = 25.0
final_div_factor = 10000.0
clip = inf
l1 = 0.0
l2 = 0.0
weight_decay = 0.0
dropout = 0.0
label_smoothing = 0.0
patience = 0
min_delta = 0.0
epochs = 100
batch_size = 32
loss = "auto"
quantile = 0.5
class_weight = "none"
shift = 0
flip = 0.0
ema = 0.0
threshold = 0.5
"""


def study(tmp_path: Path, text: str = SMALL, name: str = "x.toml") -> Study:
    tmp_path.mkdir(exist_ok=True)
    file = tmp_path / name
    file.write_text(text, encoding="utf-8")
    return read_study(file)


@pytest.mark.parametrize("file", STUDIES, ids=lambda file: file.stem)
def test_the_studies_that_ship_are_valid(file: Path) -> None:
    read = read_study(file)
    assert read.name == file.stem
    assert read.question
    lesson = file.stem.startswith("lesson-")  # fixed: an experiment varies one setting at a time itself
    assert bool(read.axes) != lesson
    assert [note for note in notes(read) if not (lesson and "no key is an axis" in note)] == []
    assert read.id == f"{file.stem}-{read.fingerprint[:8]}"


def test_the_main_study_says_what_its_file_says() -> None:
    file = next(file for file in STUDIES if file.stem == "digits-mlp")
    written = tomllib.loads(file.read_text(encoding="utf-8"))
    read = read_study(file)
    assert read.axes["width"] == Range(16, 256, log=True, integer=True)
    assert read.axes["learning_rate"] == Range(1e-4, 1e-1, log=True)
    assert read.axes["activation"] == Choice(tuple(written["model"]["activation"]["choices"]))
    assert read.settings["optimizer"] == Choice(("adam", "momentum", "rmsprop"))
    assert read.settings["patience"] == 0
    assert read.search == SearchSpec(200, "tpe", "asha", 3)
    assert read.data == DataSpec("digits", folder=file.parent)


def test_defaults_fill_every_setting(tmp_path: Path) -> None:
    read = study(tmp_path)
    assert dict(read.settings) == tomllib.loads(DEFAULTS)
    assert (read.seed, read.metric, read.question, read.search) == (0, None, "", SearchSpec(trials=1))
    assert read.data.split == Split(0.6, 0.2, 0.2)


def test_settings_stand_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = (
        SMALL + "[training]\nepochs = 3\n[optimizer]\nlearning_rate = 1\nname = 'sgd'\n[model]\nwidth = 8\n"
    )
    assert list(study(tmp_path, text).settings)[:4] == ["epochs", "learning_rate", "optimizer", "width"]
    assert set(study(tmp_path, text).settings) == set(SETTINGS)


@pytest.mark.parametrize(
    ("section", "line", "key", "value"),
    [
        ("optimizer", "learning_rate = 1", "learning_rate", 1.0),
        ("optimizer", "clip = inf", "clip", math.inf),
        ("optimizer", "clip = 2", "clip", 2.0),
        ("training", "batch_size = 'all'", "batch_size", 0),
        ("training", "batch_size = { choices = [16, 'all'] }", "batch_size", Choice((16, 0))),
        ("regularization", "early_stopping = { patience = 5, min_delta = 1e-3 }", "min_delta", 1e-3),
        (
            "regularization",
            "early_stopping = { patience = { low = 2, high = 9 } }",
            "patience",
            Range(2, 9, integer=True),
        ),
        (
            "regularization",
            "dropout = { low = 0, high = 0.5, step = 0.25 }",
            "dropout",
            Range(0.0, 0.5, step=0.25),
        ),
        (
            "regularization",
            "dropout = { low = 0.0, high = 0.3, step = 0.1 }",
            "dropout",
            Range(0.0, 0.3, step=0.1),
        ),
        ("model", "depth = { low = 1, high = 7, step = 3 }", "depth", Range(1, 7, step=3, integer=True)),
        ("data", "scale = { choices = ['none', 'minmax'] }", "scale", Choice(("none", "minmax"))),
        ("data", "degree = 3", "degree", 3),
        ("data", "bins = { choices = [8, 48] }", "bins", Choice((8, 48))),
        ("model", "width = { choices = [8] }", "width", Choice((8,))),
    ],
)
def test_values_are_read(section: str, line: str, key: str, value: object, tmp_path: Path) -> None:
    text = f"name = 'x'\n[data]\nsource = 'wine'\n{f'[{section}]' if section != 'data' else ''}\n{line}\n"
    read = study(tmp_path, text).settings[key]
    assert read == value
    assert type(read) is type(value)


def test_an_official_test_file_takes_the_place_of_the_test_share(tmp_path: Path) -> None:
    text = "name = 'x'\n[data]\nsource = 'a.csv'\ntest = 'b.csv'\n"
    assert study(tmp_path, text).data.split == Split(0.75, 0.25, 0.0)
    text += "split = { train = 0.8, validation = 0.2 }\n"
    assert study(tmp_path, text).data.split == Split(0.8, 0.2, 0.0)


def test_a_byte_order_mark_and_foreign_line_ends_do_no_harm(tmp_path: Path) -> None:
    file = tmp_path / "x.toml"
    file.write_bytes(b"\xef\xbb\xbf" + SMALL.replace("\n", "\r\n").encode())
    assert read_study(file).fingerprint == study(tmp_path / "a").fingerprint


# ── identity ────────────────────────────────────────────────────────────────────────────────────


def test_the_fingerprint_is_of_the_meaning(tmp_path: Path) -> None:
    plain = study(tmp_path)
    same = [
        "# a comment\n" + SMALL,
        SMALL.replace("\n[data]", '\nquestion = "Which?"\nseed = 0\n[data]'),
        SMALL + "[search]\ntrials = 7\nsampler = 'tpe'\n",
        SMALL + "[model]\ndepth = 2\nwidth = 64\n",
        SMALL + "[model]\nwidth = 64\ndepth = 2\n[optimizer]\nlearning_rate = 0.001\n",
        SMALL + "split = { test = 0.2, train = 0.6, validation = 0.2 }\n",
    ]
    for number, text in enumerate(same):
        assert study(tmp_path / str(number), text).id == plain.id
    other = [
        SMALL.replace("small", "other"),
        SMALL.replace("[data]", "seed = 1\n[data]"),
        SMALL.replace("wine", "digits"),
        SMALL + "split = { train = 0.5, validation = 0.3, test = 0.2 }\n",
        SMALL + "[model]\ndepth = 3\n",
        SMALL + "[model]\ndepth = { choices = [2] }\n",
        SMALL + "[model]\nactivation = { choices = ['relu', 'tanh'] }\n",
        SMALL + "[model]\nactivation = { choices = ['tanh', 'relu'] }\n",  # the first is the default's
        SMALL + "[search]\nseeds = 4\n",
        SMALL + "[search]\nsampler = 'random'\n",
        SMALL + "[select]\nmetric = 'accuracy'\n",
    ]
    prints = [study(tmp_path / f"other{number}", text).fingerprint for number, text in enumerate(other)]
    assert len({plain.fingerprint, *prints}) == len(other) + 1


def test_ids_do_not_change_with_the_workbench(tmp_path: Path) -> None:
    """A user's folders and records are found by the id: if this fails, what they recorded is lost to them."""
    text = SMALL + "[model]\nwidth = { low = 8, high = 64, log = true }\n[training]\nbatch_size = 'all'\n"
    assert study(tmp_path).id == "small-7fff96ed"
    assert study(tmp_path, text).id == "small-d26b5ac1"


def test_a_study_is_frozen(tmp_path: Path) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        study(tmp_path).seed = 1  # type: ignore[misc]


# ── variations ──────────────────────────────────────────────────────────────────────────────────


def test_vary_replaces_what_is_named_and_nothing_else(tmp_path: Path) -> None:
    plain = study(tmp_path)
    varied = vary(
        plain, depth={"low": 1, "high": 3}, optimizer="sgd", batch_size=0, seed=5, trials=9, metric="log_loss"
    )
    assert varied.settings["depth"] == Range(1, 3, integer=True)
    assert varied.settings["batch_size"] == 0
    assert (varied.seed, varied.data.seed, varied.search.trials, varied.metric) == (5, 5, 9, "log_loss")
    changed = {key for key in SETTINGS if varied.settings[key] != plain.settings[key]}
    assert changed == {"depth", "optimizer", "batch_size"}
    assert plain.settings["depth"] == 2
    assert vary(varied, metric=None).metric is None


def test_a_variation_in_the_budget_is_the_same_study(tmp_path: Path) -> None:
    plain = study(tmp_path)
    assert vary(plain, trials=7).id == plain.id
    assert vary(plain, trials=7).text == plain.text


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"depht": 3}, "did you mean depth?"),
        ({"depth": 0}, r"\[model\] depth = 0 \(varied\) must be a whole number from 1 to 64"),
        ({"depth": Range(1, 99, integer=True)}, "high = 99"),
        ({"activation": ["relu"]}, "choices"),
        ({"initializer": "zeros"}, "starts all hidden units alike"),
        ({"trials": 0}, "trials = 0"),
        ({"name": "a/b"}, "name"),
        ({"epochs": Choice((1, 2))}, "cannot be searched"),
    ],
)
def test_vary_refuses_in_a_sentence(changes: dict[str, object], says: str, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=says):
        vary(study(tmp_path), **changes)


WORD_KEYS = {
    "scale": vocabulary.SCALES,
    "numbers": vocabulary.NUMBERS,
    "family": list(vocabulary.FAMILIES),
    "activation": vocabulary.ACTIVATIONS,
    "optimizer": vocabulary.OPTIMIZERS,
    "schedule": vocabulary.SCHEDULES,
}


@st.composite
def changes(draw: st.DrawFn) -> dict[str, object]:
    """Settings as they may be sampled by a user: fixed, ranges and choices."""
    found: dict[str, object] = {}
    for key, known in WORD_KEYS.items():
        chosen = draw(st.lists(st.sampled_from(list(known)), min_size=0, max_size=3, unique=True))
        if chosen:
            found[key] = chosen[0] if len(chosen) == 1 else Choice(tuple(chosen))
    positive = st.floats(1e-12, 1e6)
    low, high = sorted(draw(st.lists(positive, min_size=2, max_size=2, unique=True)))
    found["learning_rate"] = draw(st.sampled_from([low, Range(low, high), Range(low, high, log=True)]))
    found["batch_size"] = draw(
        st.sampled_from([0, 1, 32, Choice((0, 8)), Range(1, 64, log=True, integer=True)])
    )
    found["patience"] = draw(st.integers(0, 50))
    found["min_delta"] = draw(st.floats(0, 1))
    found["clip"] = draw(st.sampled_from([math.inf, 1.0, Choice((math.inf, 0.5))]))
    found["question"] = draw(st.text(st.characters(exclude_categories=("Cs",)), max_size=30))
    return found


@settings(max_examples=60, deadline=None)
@given(changes())
def test_the_text_of_a_variation_reads_back_as_itself(
    tmp_path_factory: pytest.TempPathFactory, changed: dict[str, object]
) -> None:
    folder = tmp_path_factory.mktemp("round")
    varied = vary(study(folder), **changed)
    again = study(folder, varied.text)
    assert again.fingerprint == varied.fingerprint
    assert again.settings == varied.settings
    assert (again.search, again.data, again.metric) == (varied.search, varied.data, varied.metric)


# ── what fits ───────────────────────────────────────────────────────────────────────────────────


def test_the_usual_metric_belongs_to_the_task(tmp_path: Path) -> None:
    assert metric_of(study(tmp_path), "classification") == "accuracy"
    assert metric_of(study(tmp_path), "regression") == "rmse"
    assert metric_of(vary(study(tmp_path), metric="r2"), "regression") == "r2"


@pytest.mark.parametrize(
    ("changed", "task", "classes", "says"),
    [
        (
            {"family": "linear"},
            "classification",
            3,
            r'\[model\] family = "linear" is for regression.*choose "softmax"',
        ),
        ({"family": "logistic"}, "classification", 3, "is for two classes"),
        ({"family": Choice(("mlp", "softmax"))}, "regression", 0, 'reaches "softmax", which is for classes'),
        ({"loss": "mse"}, "classification", 3, r'\[training\] loss = "mse" is for regression'),
        ({"loss": "binary_cross_entropy"}, "classification", 3, "is for two classes"),
        ({"metric": "rmse"}, "classification", 3, r'metric = "rmse" is for regression.*"accuracy"'),
        ({"metric": "roc_auc"}, "classification", 3, "is for two classes"),
        ({"metric": "f1"}, "regression", 0, "is for two classes"),
        (
            {"batch_size": 512},
            "classification",
            3,
            'batch_size = 512 is more than the 100 training rows.*"all"',
        ),
        ({"batch_size": Range(8, 256, integer=True)}, "classification", 3, "reaches 256"),
        ({"class_weight": "balanced"}, "regression", 0, "is for classes"),
        ({"label_smoothing": 0.1}, "regression", 0, "is for classes"),
        ({"shift": 2}, "classification", 3, r"augment.shift = 2 is for images .* has the shape \[13\]; drop"),
        ({"family": "cnn"}, "classification", 3, r'"cnn" reads sequences .* or images .*the shape \[13\]'),
        ({"degree": 10}, "classification", 3, r"\[data\] degree = 10 makes 1,144,066 features of 13"),
    ],
)
def test_what_does_not_fit_the_data_is_refused(
    changed: dict[str, object], task: str, classes: int, says: str, tmp_path: Path
) -> None:
    with pytest.raises(StudyError, match=says):
        check_fit(vary(study(tmp_path), **changed), task, classes, (13,), train_rows=100)  # type: ignore[arg-type]


def test_what_fits_the_data_passes(tmp_path: Path) -> None:
    plain = study(tmp_path)
    check_fit(
        vary(plain, family=Choice(("mlp", "softmax")), loss="cross_entropy"), "classification", 3, (13,)
    )
    check_fit(vary(plain, family="logistic", metric="f1", loss="perceptron"), "classification", 2, (13,))
    check_fit(vary(plain, family=Choice(("mlp", "linear")), metric="r2", degree=2), "regression", 0, (10,))
    check_fit(vary(plain, batch_size=0), "classification", 3, (13,), train_rows=10)
    check_fit(plain, "classification", 10, (28, 28, 1), train_rows=1000)  # rows of features take any shape
    embedded = vary(plain, embedding=Choice(("none", "pbld")), family=Choice(("mlp", "cnn")))
    check_fit(vary(embedded, family=Choice(("mlp", "softmax"))), "classification", 3, (13,))
    with pytest.raises(StudyError, match=r"embedding.*pbld.*rows of numbers, but.*\[28, 28, 1\].*\"none\""):
        check_fit(embedded, "classification", 10, (28, 28, 1))


def test_notes_tell_what_nothing_reads(tmp_path: Path) -> None:
    plain = study(tmp_path)
    remarks = notes(vary(plain, family="softmax", depth=3, weight_decay=0.1))
    assert any("[model] depth is not read by family" in note for note in remarks)
    assert any("[regularization] weight_decay is not read by optimizer" in note for note in remarks)
    assert any("nothing to search" in note for note in remarks)
    waves = notes(vary(plain, sigma=0.5))
    assert any("[model] sigma is read by the embeddings" in note for note in waves)
    assert not any("sigma" in note for note in notes(vary(plain, sigma=0.5, embedding="pbld")))
    assert notes(vary(plain, optimizer=Choice(("adam", "adamw")), weight_decay=0.1)) == ()
    assert any(
        "bins is read where numbers are piecewise alone" in note for note in notes(vary(plain, bins=9))
    )
    assert notes(vary(plain, bins=9, numbers=Choice(("plain", "piecewise")))) == ()
    both = vary(plain, embedding="pbld", numbers="piecewise")
    assert any("embedding is not read where [data] numbers are piecewise" in note for note in notes(both))
    assert notes(vary(plain, embedding="pbld", numbers=Choice(("plain", "piecewise")))) == ()


def test_bins_are_single_numbers(tmp_path: Path) -> None:
    """Each makes another preparation and another program, which a range would make many of."""
    text = SMALL + "numbers = 'piecewise'\nbins = { low = 8, high = 64 }\n"
    with pytest.raises(StudyError, match=r"bins = .* takes no range, .*; write \{ choices = \[16, 48\] \}"):
        study(tmp_path, text)
    with pytest.raises(StudyError, match=r"bins = 1 must be a whole number from 2 to 256"):
        study(tmp_path, SMALL + "bins = 1\n")


def test_widths_of_layers_stand_alone(tmp_path: Path) -> None:
    text = SMALL + "[model]\nwidths = [64, 32]\n"
    read = study(tmp_path, text)
    assert read.settings["widths"] == "64 32"
    searched = vary(read, widths=Choice(("64 32", "128 64 32")))
    assert "widths = { choices = [[64, 32], [128, 64, 32]] }" in searched.text
    with pytest.raises(StudyError, match=r"depth = 3 stands beside widths, .* drop one of the two"):
        study(tmp_path, text + "depth = 3\n")
    with pytest.raises(StudyError, match=r"did you mean widths"):
        study(tmp_path, SMALL + "[model]\nhidden_layer_sizes = [64, 32]\n")
    with pytest.raises(StudyError, match=r"widths"):
        study(tmp_path, SMALL + "[model]\nwidths = [64, 0]\n")


def test_images_have_no_columns_to_encode(tmp_path: Path) -> None:
    searched = vary(study(tmp_path), numbers=Choice(("plain", "piecewise")))
    with pytest.raises(StudyError, match=r'reaches "piecewise", which encodes columns .* \[28, 28, 1\]'):
        check_fit(searched, "classification", 10, (28, 28, 1))
    check_fit(searched, "classification", 10, (784,))


def test_without_an_axis_one_trial_is_trained(tmp_path: Path) -> None:
    text = 'name = "fixed"\n[data]\nsource = "wine"\n[model]\nfamily = "softmax"\n'
    (tmp_path / "fixed.toml").write_text(text)
    (tmp_path / "asked.toml").write_text(text + "[search]\ntrials = 7\n")
    fixed, asked = (read_study(tmp_path / f"{name}.toml") for name in ("fixed", "asked"))
    assert (fixed.search.trials, asked.search.trials) == (1, 7)
    assert fixed.id == asked.id  # the budget is no part of it
    searched = vary(fixed, learning_rate=Range(0.01, 0.1))
    assert searched.search.trials == 100
    assert vary(fixed, epochs=3).search.trials == 1
    assert vary(fixed, learning_rate=Range(0.01, 0.1), trials=5).search.trials == 5
