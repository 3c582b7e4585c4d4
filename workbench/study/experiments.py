"""`experiment`: claims put to the test, one file each, their records, and the gallery drawn from these.

An experiment is a module with a docstring (a title, then what is claimed, the source and how it is judged)
and a function `run(seeds) -> Verdict`. Its record keeps the effect of every seed, so that running it again
can be compared with it, figure by figure.

On the processor and the versions of the record, Python's included, every seed's effect has to come out
again, up to TOLERANCE of the interval. Others round differently, which training magnifies until single seeds
differ; there the verdict has to be the same and the average of the effects to lie in the recorded interval.
Of effects that are times, only the verdict is compared.
"""

from __future__ import annotations

import importlib.util
import inspect
import json
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from workbench.core.errors import InputError, StoreError
from workbench.core.files import replaced, write_text
from workbench.core.formatting import nearest
from workbench.core.locations import Locations, prepare
from workbench.core.provenance import NUMERIC, environment
from workbench.evaluation import plots
from workbench.evaluation.verdict import Verdict, verdict
from workbench.storage.tracking import log_experiment

FOLDER = Path("experiments")
SEEDS = 20
_NAME = re.compile(r"c\d\d_\w+")
_PARTS = ("Claim", "Source", "Judged")


def names(folder: Path = FOLDER) -> list[str]:
    """The experiments of a folder, in order. Raises InputError if there is no such folder."""
    if not folder.is_dir():
        raise InputError(f"{folder}: is no folder here; run this where the folder of the experiments is")
    return sorted(path.stem for path in folder.glob("c*.py") if _NAME.fullmatch(path.stem))


def find(name: str, folder: Path = FOLDER) -> str:
    """The full name of an experiment, which may be given as its number, such as c08. Raises InputError."""
    known = names(folder)
    fitting = [one for one in known if name == one or name.lower() == one.partition("_")[0]]
    if fitting:
        return fitting[0]
    close = nearest(name, known)
    raise InputError(
        f"{name}: is no experiment of {folder}; "
        + (f"did you mean {close}?" if close else f"they are {', '.join(known)}")
    )


def run(
    name: str, locations: Locations, note: Callable[[str], None], *, folder: Path = FOLDER, seeds: int = SEEDS
) -> tuple[dict[str, Any], bytes | None]:
    """Run an experiment, log it to MLflow, and give its record and its figure as PNG.

    Raises InputError for an experiment that is not there or not written as one, StoreError from MLflow.
    """
    from workbench.training.devices import configure  # jax is not needed to list experiments

    module = _load(folder / f"{find(name, folder)}.py")
    title, parts = _described(module)
    prepare(locations)
    configure(locations.home / "cache" / "jax")
    note(title)
    began = time.perf_counter()
    verdict: Verdict = module.run(seeds)
    seconds = time.perf_counter() - began
    record: dict[str, Any] = {
        "name": find(name, folder),
        "title": title,
        **{part.lower(): parts[part] for part in _PARTS},
        "conclusion": verdict.conclusion,
        "unit": verdict.unit,
        "effect": verdict.effect,
        "low": verdict.low,
        "high": verdict.high,
        "beyond": verdict.beyond,
        "effects": list(verdict.effects),
        "facts": dict(verdict.facts),
        "timed": verdict.timed,
        "seconds": round(seconds, 1),
        "environment": environment("the devices of this machine"),
    }
    picture = None if verdict.figure is None else plots.png(verdict.figure)
    kept = locations.home / "experiments" / f"{record['name']}.png"
    if picture is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_bytes(picture)
    figure = kept if picture is not None else None
    record_run = log_experiment(locations.tracking_uri, record, figure, locations.home / "artifacts")
    note(f"MLflow run {record_run}")
    return record, picture


def write(record: Mapping[str, Any], picture: bytes | None, folder: Path = FOLDER) -> None:
    """Keep a record and its figure beside the experiments, and draw the gallery again. Raises StoreError."""
    try:
        for part in ("records", "pictures"):
            (folder / part).mkdir(exist_ok=True)
        write_text(folder / "records" / f"{record['name']}.json", json.dumps(record, indent=1) + "\n")
        if picture is not None:
            with replaced(folder / "pictures" / f"{record['name']}.png") as file:
                file.write(picture)
        write_text(folder / "README.md", gallery(folder))
    except OSError as error:
        raise StoreError(
            f"{folder}: the record of {record['name']} cannot be written there ({error.strerror}); leave out "
            "--write, or run it where the folder is yours"
        ) from error


def recorded(name: str, folder: Path = FOLDER) -> dict[str, Any]:
    """The record of an experiment. Raises InputError if there is none."""
    path = folder / "records" / f"{find(name, folder)}.json"
    if not path.exists():
        raise InputError(f"{path}: there is no record; make one by workbench experiment {name} --write")
    known: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return known


def gallery(folder: Path = FOLDER) -> str:
    """The page of all records: claim, verdict, effect, figure, time and command."""
    records = [recorded(name, folder) for name in names(folder) if _kept(name, folder)]
    lines = [
        "# Experiments",
        "",
        "Each claim of the articles is a file that can come out against it. This page is drawn from",
        "[records/](records) by `workbench experiment NAME --write`; `workbench reproduce NAME` runs one",
        "again and compares it with its record: seed by seed on the processor and versions of the record,",
        "by the average over seeds on others, where rounding differs.",
        "",
        "| claim | verdict | effect, 95 % interval | seconds |",
        "|---|---|---|---|",
    ]
    for one in records:
        interval = f"{one['effect']:.3g} ({one['low']:.3g} to {one['high']:.3g})"
        lines.append(
            f"| [{one['title']}](#{one['name'].partition('_')[0]}) | **{one['conclusion']}** | {interval} | "
            f"{one['seconds']:.0f} |"
        )
    for one in records:
        lines += _page(one, folder)
    return "\n".join(lines) + "\n"


def _page(record: Mapping[str, Any], folder: Path) -> list[str]:
    name = record["name"]
    picture = folder / "pictures" / f"{name}.png"
    shown = [f"![{record['title']}](pictures/{name}.png)", ""] if picture.exists() else []
    facts = ", ".join(f"{fact.replace('_', ' ')} {value:.6g}" for fact, value in record["facts"].items())
    return [
        "",
        f'## <a name="{name.partition("_")[0]}"></a>{record["title"]}',
        "",
        f"**{record['conclusion'].capitalize()}.** {record['claim']}",
        "",
        *shown,
        f"- judged: {record['judged']}",
        f"- {record['unit']}: {record['effect']:.4g}, 95 % interval {record['low']:.4g} to "
        f"{record['high']:.4g} over {len(record['effects'])} seeds; the rule asks for more than "
        f"{record['beyond']:g}",
        *([f"- {facts}"] if facts else []),
        f"- source: {record['source']}",
        f"- `workbench experiment {name}` takes {record['seconds']:.0f} s; its file is "
        f"[{name}.py]({name}.py)",
    ]


def _kept(name: str, folder: Path) -> bool:
    return (folder / "records" / f"{name}.json").exists()


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _described(module: ModuleType) -> tuple[str, dict[str, str]]:
    """The title and the parts of the docstring. Raises InputError if one is missing."""
    text = inspect.cleandoc(module.__doc__ or "")
    title, _, rest = text.partition("\n")
    parts = {}
    for part in _PARTS:
        found = re.search(rf"^{part}\s+(.*?)(?=^(?:{'|'.join(_PARTS)})\s|\Z)", rest, re.MULTILINE | re.DOTALL)
        if found is None:
            raise InputError(f"{module.__file__}: its docstring lacks {part}, one of {', '.join(_PARTS)}")
        parts[part] = " ".join(found[1].split())
    return title.rstrip("."), parts


#: Relative difference up to which two figures of the same arithmetic agree.
TOLERANCE = 1e-3


def consistent(record: Mapping[str, Any]) -> list[str]:
    """What in a record does not follow from its effects; empty if everything does."""
    try:
        found = verdict(record["effects"], unit=record["unit"], beyond=record["beyond"])
    except (TypeError, ValueError) as error:
        return [f"the record holds no effects to judge by: {error}"]
    said = []
    if found.conclusion != record["conclusion"]:
        said.append(f"the record says {record['conclusion']}, but its effects say {found.conclusion}")
    for name in ("effect", "low", "high"):
        was, follows = record[name], getattr(found, name)
        if not abs(was - follows) <= 1e-9 * max(abs(follows), 1e-3):
            said.append(f"the record says {name} {was:.6g}, but its effects give {follows:.6g}")
    return said


def compared(record: Mapping[str, Any], again: Mapping[str, Any]) -> str:
    """What of the two has to agree: every seed, the averages, or the verdict alone."""
    if record.get("timed", False):
        return "verdict"
    same = _arithmetic(record["environment"]) == _arithmetic(again["environment"])
    return "seeds" if same else "averages"


def differences(record: Mapping[str, Any], again: Mapping[str, Any]) -> list[str]:
    """What of an experiment that was run again is not as recorded; empty if everything agrees."""
    found = consistent(record)
    if record["conclusion"] != again["conclusion"]:
        found.append(f"the verdict is {again['conclusion']} and was {record['conclusion']}")
    was, now = record["effects"], again["effects"]
    if len(was) != len(now):
        return [*found, f"there are {len(now)} seeds and were {len(was)}"]
    slack, what = TOLERANCE * max(abs(record["high"] - record["low"]), 1e-12), compared(record, again)
    if what == "seeds":
        return found + [
            f"the effect of seed {seed} is {b:.6g} and was {a:.6g}"
            for seed, (a, b) in enumerate(zip(was, now, strict=True))
            if not abs(a - b) <= max(slack, TOLERANCE * abs(a))
        ]
    if what == "averages" and not record["low"] - slack <= again["effect"] <= record["high"] + slack:
        interval = f"{record['low']:.6g} to {record['high']:.6g}"
        found.append(f"the average effect is {again['effect']:.6g}, outside the recorded interval {interval}")
    return found


def _arithmetic(environment: Mapping[str, str]) -> tuple[str, ...]:
    """What decides how numbers are rounded: the processor, and versions but the workbench's own."""
    processor = re.sub(r", \d+ cores;", ";", environment["hardware"])
    return (processor, environment["python"], *(environment[package] for package in NUMERIC[1:]))
