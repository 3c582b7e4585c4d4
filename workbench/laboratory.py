"""`experiment`: claims put to the test, one file each, their records, and the gallery drawn from these.

An experiment is a module with a docstring (a title, then what is claimed, the source and how it is judged)
and a function `run(seeds) -> Verdict`. Its record keeps the effect of every seed, so that running it again
can be compared with it, figure by figure (`agreement`).
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

from workbench import plots, tracking_claims
from workbench.conclusions import Verdict
from workbench.errors import InputError, StoreError
from workbench.files import replaced, write_text
from workbench.places import Places, prepare
from workbench.provenance import environment
from workbench.wording import nearest

__all__ = ["FOLDER", "SEEDS", "find", "gallery", "names", "recorded", "run", "write"]

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
    name: str, places: Places, note: Callable[[str], None], *, folder: Path = FOLDER, seeds: int = SEEDS
) -> tuple[dict[str, Any], bytes | None]:
    """Run an experiment, log it to MLflow, and give its record and its figure as PNG.

    Raises InputError for an experiment that is not there or not written as one, StoreError from MLflow.
    """
    module = _load(folder / f"{find(name, folder)}.py")
    title, parts = _described(module)
    prepare(places)
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
    kept = places.home / "experiments" / f"{record['name']}.png"
    if picture is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_bytes(picture)
    figure = kept if picture is not None else None
    record_run = tracking_claims.log(places.tracking_uri, record, figure, places.home / "artifacts")
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
