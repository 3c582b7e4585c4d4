"""Python files that add words, and packages that do.

A study file cannot run code. Whoever starts a command may name a file that does, by `--plugin FILE`; an
installed package is loaded by its entry point in the group `workbench.plugins`, a module that registers words
as it is imported or a function that does when it is called.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
import sys
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from workbench.core.errors import InputError

GROUP = "workbench.plugins"
#: The files that were loaded, and the SHA-256 of each.
loaded: dict[Path, str] = {}


def load(path: Path) -> None:
    """Run a Python file that registers words, once in this process.

    It is imported under its own name where that is a name, so that what it defines can be found again.

    Raises InputError if it is not there or fails.
    """
    path = path.absolute()
    if not path.is_file() or path.suffix != ".py":
        raise InputError(f"--plugin = {path}: there is no such Python file; correct the path")
    name = re.sub(r"\W", "_", path.stem)
    known = sys.modules.get(name)
    if known is not None and getattr(known, "__file__", None) == str(path):
        return
    if known is not None:  # another module has the name, perhaps one of Python's own
        name = f"workbench_plugin_{name}"
        if name in sys.modules and sys.modules[name].__file__ == str(path):
            return
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except InputError as error:
        del sys.modules[name]
        raise InputError(f"--plugin = {path}: {error}") from error
    except Exception as error:
        del sys.modules[name]
        raise InputError(f"--plugin = {path}: {_reason(error, path)}; mend it") from error
    loaded[path] = hashlib.sha256(path.read_bytes()).hexdigest()


@cache
def load_installed() -> None:
    """Load what installed packages offer, once in this process. Raises InputError for one that fails."""
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: (entry.name, entry.value)):
        try:
            _enter(entry)
        except Exception as error:
            raise InputError(
                f"plugin {entry.name} = {entry.value}: fails ({type(error).__name__}: {error}); mend it or "
                "uninstall the package that offers it"
            ) from error


def _enter(entry: EntryPoint) -> None:
    found = entry.load()
    if callable(found):
        found()


def _reason(error: Exception, path: Path) -> str:
    """What went wrong, and in which line of the file."""
    line = getattr(error, "lineno", None)
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            line = trace.tb_lineno
        trace = trace.tb_next
    return f"fails{f' in line {line}' if line else ''} ({type(error).__name__}: {error})"
