"""Where a study and its records are kept, by what somebody says of them.

A study that was made from Python lies in its home, HOME/created/NAME/study.toml, and goes by its name there.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path

from workbench.core.locations import Locations, resolve
from workbench.study.config import Study

#: The folder of a home that holds studies that were made from Python.
CREATED, FILE = "created", "study.toml"


def study_file(word: str | Path, home: Path) -> Path:
    """The study file that a word means: a path, or the name of a study that was made from Python."""
    path = Path(word)
    made = home / CREATED / path / FILE
    return made if len(path.parts) == 1 and not path.exists() and made.is_file() else path


def home_of(study: Study) -> Path | None:
    """The home that keeps a study that was made from Python; None for any other study."""
    path = study.path.absolute()
    return path.parents[2] if path.name == FILE and path.parents[1].name == CREATED else None


def locations_of(study: Study, locations: Locations | str | Path | None = None) -> Locations:
    """Where records of a study are kept: as said, else in its own home, else as `resolve` has it."""
    if isinstance(locations, Locations):
        return locations
    home = home_of(study) if locations is None else locations
    return resolve(None if home is None else str(home))


def others_of(name: str, folder: Path, file: str) -> Iterator[Path]:
    """The folders of other studies of a name, beside `folder`, that hold a file; the latest first."""
    kept = [path for path in folder.parent.glob(f"{name}-*/{file}") if path.parent != folder]
    for path in sorted(kept, key=lambda path: path.stat().st_mtime, reverse=True):
        if _name(path.parent) == name:
            yield path.parent


def _name(folder: Path) -> str | None:
    try:
        with (folder / FILE).open("rb") as file:
            return str(tomllib.load(file).get("name"))
    except (OSError, ValueError):
        return None
