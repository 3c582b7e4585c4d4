"""The borders: which module imports which, one home for each heavy library, what starting up may load."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

import workbench
from workbench.nn import optimizers
from workbench.study.config import optimizer_checks as checks

PACKAGE = Path(workbench.__file__).parent

# Every module stands in one layer; imports point to its own layer or to one that its line names.
LAYERS: dict[str, tuple[str, ...]] = {
    "words": (
        "errors",
        "cores",
        "types",
        "words",
        "wording",
        "recipe",
        "codec",
        "declarations",
        "ranking",
        "divisions",
        "units",
        "before",
    ),
    "ground": ("files", "urls", "sql", "reachable"),
    "maths": (
        *(
            "noise",
            "activations",
            "initializers",
            "losses",
            "metrics",
            "regularizers",
            "schedules",
            "optimizers",
            "transformations",
            "transformation_plans",
        ),
        *("gradients", "models", "models.*"),
    ),
    "data": ("data", "data.*"),
    "training": (
        *(
            "training",
            "scoring",
            "depths",
            "lanewise",
            "population",
            "programs",
            "costs",
            "devices",
            "engine",
            "checkpoints",
        ),
        *(
            "evaluate",
            "conclusions",
            "baselines",
            "intervals",
            "intervals_of_*",
            "optimism",
            "finalists",
            "diagnosis",
            "landscape",
            "probes",
        ),
    ),
    "search": (
        *(
            "space",
            "ladder",
            "trial",
            "parts",
            "earlier",
            "folds",
            "loop",
            "select",
            "growth",
            "scheduler",
            "stopping",
            "importances",
        ),
        *("suggest", "suggest_*", "storage", "storage_*"),
    ),
    "records": (
        *(
            "storage.tracking",
            "storage.tracking.*",
            "ledger",
            "user_ledger",
            "looks",
            "encounters",
            "verdicts",
            "chain",
            "database",
            "leases",
            "lease_tables",
            "provenance",
        ),
        *("spool", "outcomes", "savedmodel", "mistakes", "exported", "predictor", "confirmation"),
        *("report", "report.*", "plots", "plots.*", "pictures", "sparkline"),
    ),
    "doors": (
        *(
            "study",
            "study_*",
            "workflow",
            "workspace",
            "contents",
            "identity",
            "preparations",
            "session",
            "crew",
            "worker",
            "choice",
            "finals",
            "rivals",
            "runs",
            "laboratory",
            "agreement",
            "crossings",
            "records",
        ),
        *(
            "planning",
            "defined_metric",
            "delivery",
            "predictions",
            "reproduction",
            "starter",
            "results",
            "places",
            "interrupts",
        ),
        *("cli", "commands", "present", "present_parts", "display", "viewer", "streams", "", "__main__"),
    ),
}
BELOW = {
    "words": (),
    "ground": ("words",),
    "maths": ("words",),
    "data": ("words",),  # knows no model
    "training": ("words", "ground", "maths"),  # receives arrays
    "search": ("words", "ground", "maths", "training"),
    "records": ("words", "ground", "maths", "training", "data"),
    "doors": ("words", "ground", "maths", "data", "training", "search", "records"),
}
# Where a heavy library may be imported at all, even inside a function.
HOMES = {
    "argparse": ("cli", "commands"),
    "jax": ("@maths", "@training", "exported", "predictor"),
    "matplotlib": ("plots.*", "plots"),
    "mlflow": ("storage.tracking.*",),
    "optax": ("@maths",),
    "optuna": ("@search",),
    "pandas": (
        "@data",
        "mistakes",
        "predictor",
        "predictions",
        "savedmodel",
        "storage.tracking.deliver",
        "storage.tracking.pyfunc",
    ),
    "pydantic": ("study", "study_*"),
    "pydantic_core": ("study_*",),
    "rich": ("display", "present", "present_parts"),
    "sklearn": ("@data", "baselines"),
    "torch": (),
}
LONGEST_FILE = 400

MODULES = {
    ".".join(file.relative_to(PACKAGE).with_suffix("").parts).removesuffix("__init__").rstrip("."): file
    for file in sorted(PACKAGE.rglob("*.py"))
}


def layer_of(module: str) -> str:
    """The one layer that names the module."""
    found = [layer for layer, names in LAYERS.items() if any(fnmatchcase(module, name) for name in names)]
    assert len(found) == 1, f"workbench.{module} stands in {found or 'no layer'}; give it one in LAYERS"
    return found[0]


def imports(module: str) -> Iterator[tuple[str, int]]:
    """Every module that is imported, with the line, inside functions and for types as well."""
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"workbench.{module}:{node.lineno} imports relatively"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield (
                    (inner if inner.removeprefix("workbench.") in MODULES else str(node.module)),
                    node.lineno,
                )


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_downwards(module: str) -> None:
    layer = layer_of(module)
    for name, line in imports(module):
        if name == "workbench" or name.startswith("workbench."):
            target = layer_of(name.removeprefix("workbench").lstrip("."))
            assert target == layer or target in BELOW[layer], (
                f"workbench.{module}:{line} ({layer}) imports {name} ({target})"
            )


@pytest.mark.parametrize("module", MODULES)
def test_heavy_libraries_stay_at_home(module: str) -> None:
    for name, line in imports(module):
        homes = HOMES.get(name.partition(".")[0])
        if homes is not None:
            at_home = any(home == f"@{layer_of(module)}" or fnmatchcase(module, home) for home in homes)
            assert at_home, f"workbench.{module}:{line} imports {name}, whose home is {', '.join(homes)}"


# A folder says once what is public in it, so its files need no list of their own.
@pytest.mark.parametrize("module", [name for name in MODULES if not name.startswith("storage")])
def test_all_is_sorted_and_true(module: str) -> None:
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    listed: list[str] | None = None
    defined: set[str] = set()
    made_here: set[str] = set()
    for node in [*tree.body, *(inner for top in tree.body if isinstance(top, ast.If) for inner in top.body)]:
        match node:
            case ast.Assign(targets=[ast.Name(id="__all__")]) | ast.AnnAssign(target=ast.Name(id="__all__")):
                listed = ast.literal_eval(node.value) if node.value else None
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                defined.add(name)
                made_here.add(name)
            case ast.Assign(targets=targets):
                names = [n.id for target in targets for n in ast.walk(target) if isinstance(n, ast.Name)]
                defined.update(names)
            case ast.AnnAssign(target=ast.Name(id=name)):
                defined.add(name)
            case ast.Import(names=names) | ast.ImportFrom(names=names):
                defined.update(alias.asname or alias.name for alias in names)
    assert listed is not None, f"workbench.{module} has no __all__"
    assert listed == sorted(listed, key=_sorting), f"workbench.{module}: __all__ is not sorted"
    assert len(set(listed)) == len(listed)
    assert set(listed) <= defined, f"workbench.{module}: __all__ names {set(listed) - defined}"
    public = {name for name in made_here if not name.startswith("_")}
    assert public <= set(listed), f"workbench.{module}: __all__ lacks {public - set(listed)}"


@pytest.mark.parametrize("module", MODULES)
def test_files_are_short(module: str) -> None:
    lines = len(MODULES[module].read_text(encoding="utf-8").splitlines())
    assert lines <= LONGEST_FILE, f"workbench.{module} has {lines} lines; split it"


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
    assert workbench.read_study.__module__ == "workbench.study.config.study"
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
    assert set(checks.READ_BY["momentum"]) == {name for name, rule in rules.items() if rule.first}
    assert set(checks.READ_BY["beta2"]) == {n for n, rule in rules.items() if rule.second == "corrected"}
    assert set(checks.READ_BY["weight_decay"]) == {name for name, rule in rules.items() if rule.decay}


def _sorting(name: str) -> tuple[int, str]:
    """Constants, then classes, then the rest: the order that ruff keeps (RUF022)."""
    return (0 if name.isupper() else 1 if name[:1].isupper() else 2), name
