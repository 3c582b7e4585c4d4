"""The borders: folders are layers, one home for each heavy library, what starting up may load."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import workbench
from workbench.core import vocabulary
from workbench.nn import optimizers

PACKAGE = Path(workbench.__file__).parent

# What each folder may import beside itself: imports point down. Its __init__ says what lives there.
BELOW: dict[str, tuple[str, ...]] = {
    "core": (),
    "data": ("core",),  # knows no model
    "nn": ("core",),
    "training": ("core", "nn"),  # receives arrays
    "evaluation": ("core", "data", "nn", "training"),
    "tuning": ("core", "nn", "training", "evaluation"),
    "storage": ("core", "data", "evaluation", "tuning"),
    "study": ("core", "data", "nn", "training", "evaluation", "tuning", "storage"),
    "cli": ("core", "study"),
}
# Where a heavy library may be imported at all, even inside a function: folders or modules.
HOMES = {
    "argparse": ("cli",),
    "dask": ("tuning.distributed.cluster",),
    "distributed": ("tuning.distributed.cluster",),
    "jax": ("nn", "training", "evaluation.analysis", "evaluation.evaluate", "evaluation.export",
            "evaluation.onnx", "evaluation.predictor"),
    "matplotlib": ("evaluation.plots",),
    "jax2onnx": ("evaluation.onnx",),
    "mlflow": ("storage.tracking",),
    "onnx": ("evaluation.onnx",),
    "optax": ("nn",),
    "optuna": ("tuning", "storage.optuna_mirror"),
    "pandas": ("data", "evaluation.columns", "evaluation.mistakes", "evaluation.predictor",
               "evaluation.saved_model", "storage.tracking.deliver", "storage.tracking.pyfunc",
               "study.created", "study.estimators", "study.predict", "study.result"),
    "annotated_types": ("study.config",),
    "pydantic": ("core.records", "study.config"),
    "pydantic_core": ("core.types", "study.config"),
    "rich": ("cli", "study.progress"),
    "sklearn": ("data", "evaluation.baselines", "evaluation.boosting", "study.estimators"),
    "sqlalchemy": ("core.sql", "core.addresses", "core.locations", "storage"),
    "torch": (),
}  # fmt: skip
LONGEST_FILE = 600

MODULES = {
    ".".join(file.relative_to(PACKAGE).with_suffix("").parts).removesuffix("__init__").rstrip("."): file
    for file in sorted(PACKAGE.rglob("*.py"))
}


def imports(module: str) -> Iterator[tuple[str, int]]:
    """Every module that is imported, with the line, inside functions and for types as well."""
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"workbench.{module}:{node.lineno} imports relatively"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                known = inner.removeprefix("workbench.") in MODULES
                yield (inner if known else str(node.module)), node.lineno


def inside(module: str, folders: tuple[str, ...]) -> bool:
    return any(module == folder or module.startswith(f"{folder}.") for folder in folders)


def test_folders_are_the_layers() -> None:
    found = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert found == set(BELOW)
    assert {path.name for path in PACKAGE.glob("*.py")} == {"__init__.py", "__main__.py"}
    for folder in BELOW:
        assert ast.get_docstring(ast.parse(MODULES[folder].read_text(encoding="utf-8")))


@pytest.mark.parametrize("module", [name for name in MODULES if name.partition(".")[0] in BELOW])
def test_imports_point_downwards(module: str) -> None:
    layer = module.partition(".")[0]
    for name, line in imports(module):
        if name.startswith("workbench."):
            target = name.split(".")[1]
            assert target == layer or target in BELOW[layer], f"workbench.{module}:{line} imports {name}"


def test_imports_go_round_in_no_circle() -> None:
    graph = {
        module: {
            name.removeprefix("workbench.") for name, _ in imports(module) if name.startswith("workbench.")
        }
        for module in MODULES
        if module.partition(".")[0] in BELOW
    }
    TopologicalSorter(graph).prepare()


@pytest.mark.parametrize("module", MODULES)
def test_heavy_libraries_stay_at_home(module: str) -> None:
    for name, line in imports(module):
        homes = HOMES.get(name.partition(".")[0])
        if homes is not None:
            assert inside(module, homes), f"workbench.{module}:{line} imports {name}, whose home is {homes}"


@pytest.mark.parametrize("module", MODULES)
def test_files_hold_one_idea(module: str) -> None:
    lines = len(MODULES[module].read_text(encoding="utf-8").splitlines())
    assert lines <= LONGEST_FILE, f"workbench.{module} has {lines} lines; it holds more than one idea"


@pytest.mark.parametrize(
    "program",
    [
        "import workbench",
        "from workbench.cli.main import main\ntry: main(['--help'])\nexcept SystemExit: pass",
        "from workbench.cli.main import main\nmain(['nonsense'])",
    ],
)
def test_starting_up_loads_nothing_heavy(program: str) -> None:
    program += "\nimport sys; print('loaded', *sorted({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.splitlines()[-1].split()[1:])
    heavy = {
        "jax",
        "mlflow",
        "optuna",
        "pandas",
        "matplotlib",
        "sklearn",
        "scipy",
        "sqlalchemy",
        "pydantic",
        "rich",
        "distributed",
    }
    assert not loaded & heavy
    assert "workbench" in loaded


def test_starting_up_is_quick() -> None:
    """The sum of what each import takes by itself: the start of the interpreter is not ours."""
    program = "from workbench.cli.main import main\ntry: main(['--help'])\nexcept SystemExit: pass"
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", program], capture_output=True, text=True, check=True
    )
    lines = [
        line for line in done.stderr.splitlines() if line.startswith("import time:") and "us" not in line
    ]
    seconds = sum(int(line.removeprefix("import time:").split("|")[0]) for line in lines) / 1e6
    assert lines
    assert seconds < 0.5


def test_public_names_are_loaded_on_use() -> None:
    assert set(workbench.__all__) <= set(dir(workbench))
    assert workbench.read_study.__module__ == "workbench.study.config.reading"
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        workbench.nonsense  # noqa: B018


def test_no_module_takes_the_place_of_a_public_name() -> None:
    """Importing workbench.NAME would bind the module where the function was."""
    assert not set(workbench.__all__) & {module.partition(".")[0] for module in MODULES}


@pytest.mark.parametrize("name", workbench.__all__)
def test_public_name_exists(name: str) -> None:
    assert getattr(workbench, name) is not None


def test_what_optimizers_read_is_what_their_rules_say() -> None:
    rules = optimizers.OPTIMIZERS
    assert set(vocabulary.READ_BY["momentum"]) == {name for name, rule in rules.items() if rule.first}
    assert set(vocabulary.READ_BY["beta2"]) == {n for n, rule in rules.items() if rule.second == "corrected"}
    assert set(vocabulary.READ_BY["weight_decay"]) == {name for name, rule in rules.items() if rule.decay}
