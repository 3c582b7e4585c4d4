"""Other systems, by taking away what they lack: a small study from the command line, to the same end.

What Linux has and macOS or Windows has not is deleted from the interpreter before the program begins, in its
children as well, by a `sitecustomize` in front of everything.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.helpers.end_to_end import TINY, Place, Ran, environment, place, scores

NO_FILES_OF_THE_KERNEL = """
import pathlib
_read = pathlib.Path.read_text
def _refuse(self, *words, **options):
    if str(self).startswith(("/proc", "/sys")):
        raise FileNotFoundError(2, "No such file or directory", str(self))
    return _read(self, *words, **options)
pathlib.Path.read_text = _refuse
"""
TAKEN = {
    "affinity": "del os.sched_getaffinity",
    "/proc and /sys": NO_FILES_OF_THE_KERNEL,
    "fcntl": "sys.modules['fcntl'] = None",
    "pthread_kill": "del signal.pthread_kill",
    "nice": "del os.nice",
    "hard links": "del os.link",
    "process groups": "del os.killpg, os.setsid, os.getpgid, os.setpgid, os.getsid",
    "fork": "del os.fork, os.forkpty",
    "resource, pwd, grp": "sys.modules.update(resource=None, pwd=None, grp=None)",
    "modes": "os.chmod = os.umask = lambda *words, **options: 0; del os.fchmod",
    "signals": "del signal.SIGHUP, signal.SIGKILL, signal.SIGUSR1, signal.SIGALRM, signal.SIGPIPE",
}


class Elsewhere(NamedTuple):
    """A machine that lacks something."""

    folder: Path  # of its sitecustomize
    variables: dict[str, str]

    def workbench(self, *words: str) -> Ran:
        """The program there."""
        path = os.pathsep.join([str(self.folder), str(Path(__file__).parents[2])])
        done = subprocess.run(
            [sys.executable, "-m", "workbench", *words],
            capture_output=True,
            check=False,
            timeout=600,
            env={**environment(), "PYTHONPATH": path, **self.variables},
        )
        return Ran(done.returncode, done.stdout.decode(), done.stderr.decode(errors="replace"), 0.0)


def elsewhere(folder: Path, *taken: str, **variables: str) -> Elsewhere:
    folder.mkdir(parents=True)
    lines = "\n".join(taken)
    (folder / "sitecustomize.py").write_text(f"import os, signal, sys\n{lines}\n")
    return Elsewhere(folder, variables)


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """The study, finished where nothing is missing."""
    folder = tmp_path_factory.mktemp("here")
    where = place(folder, TINY)
    ran = where.run()
    assert ran.status == 0, ran.err
    return where


def ends_the_same(machine: Elsewhere, folder: Path, here: Place) -> Place:
    where = place(folder, TINY)
    ran = machine.workbench("run", str(where.file), "--home", str(where.home), "--json")
    assert ran.status == 0, ran.err
    assert "Traceback" not in ran.err
    assert ran.result["status"] == "confirmed"
    assert scores(where.outcome) == scores(here.outcome)
    return where


def test_without_all_of_it(tmp_path: Path, here: Place) -> None:
    machine = elsewhere(tmp_path / "machine", *TAKEN.values())
    where = ends_the_same(machine, tmp_path / "study", here)
    again = machine.workbench("run", str(where.file), "--home", str(where.home), "--json")
    assert again.status == 0, again.err
    assert again.result["status"] == "confirmed"


@pytest.mark.slow
@pytest.mark.parametrize("what", TAKEN)
def test_without(what: str, tmp_path: Path, here: Place) -> None:
    ends_the_same(elsewhere(tmp_path / "machine", TAKEN[what]), tmp_path / "study", here)


@pytest.mark.slow
def test_a_killed_run_without_locks_of_the_system_goes_on(tmp_path: Path, here: Place) -> None:
    """A lock that is a file may outlive its process; it must not keep the next one out."""
    machine = elsewhere(tmp_path / "machine", TAKEN["fcntl"])
    where = place(tmp_path / "study", TINY)
    code = (
        "import os, sys; from pathlib import Path; from workbench.storage.journal import Journal\n"
        "held = Journal(Path(sys.argv[1])); os._exit(1)"
    )
    journal = where.home / "studies" / here.folder.name / "journal"
    path = os.pathsep.join([str(machine.folder), str(Path(__file__).parents[2])])
    subprocess.run(
        [sys.executable, "-c", code, str(journal)], check=False, env={**os.environ, "PYTHONPATH": path}
    )
    assert journal.with_name("journal.lock").exists()
    ran = machine.workbench("run", str(where.file), "--home", str(where.home), "--json")
    assert ran.status == 0, ran.err
    assert scores(where.outcome) == scores(here.outcome)


CONSOLES = {
    "ascii": {"PYTHONIOENCODING": "ascii"},
    "the C locale": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "of Windows": {"PYTHONIOENCODING": "cp1252"},
    "of old Windows": {"PYTHONIOENCODING": "cp437"},
}


@pytest.mark.parametrize("console", CONSOLES)
def test_a_console_that_lacks_characters_shows_the_result(console: str, tmp_path: Path, here: Place) -> None:
    machine = elsewhere(tmp_path / "machine", **CONSOLES[console])
    home = ["--home", str(here.home)]
    path = os.pathsep.join([str(machine.folder), str(Path(__file__).parents[2])])
    done = subprocess.run(
        [sys.executable, "-m", "workbench", "run", str(here.file), *home],
        capture_output=True,
        check=False,
        env={**environment(), "PYTHONPATH": path, **machine.variables},
    )
    said = done.stdout.decode(machine.variables.get("PYTHONIOENCODING", "ascii"))
    assert done.returncode == 0, done.stderr
    assert "test accuracy" in said
    assert "confirmed" in said
    whole = machine.workbench("run", str(here.file), *home, "--json")
    assert whole.result["status"] == "confirmed"  # JSON is UTF-8 wherever it is printed


JAX = {
    "no GPU": ({"JAX_PLATFORMS": "cuda"}, "JAX_PLATFORMS = cuda: jax finds no such device"),
    "no such platform": ({"JAX_PLATFORMS": "abacus"}, "JAX_PLATFORMS = abacus: jax finds no such device"),
    "no compiler": (
        {"JAX_DISABLE_JIT": "1"},
        "JAX_DISABLE_JIT = 1: studies are trained by compiled programs",
    ),
    "no cores": (
        {"WORKBENCH_CORES": "none", "XLA_FLAGS": ""},
        "WORKBENCH_CORES = none: must be a whole number",
    ),
}


@pytest.mark.parametrize(
    "case", [case if case == "no GPU" else pytest.param(case, marks=pytest.mark.slow) for case in JAX]
)
def test_what_jax_cannot_do_is_one_sentence(case: str, tmp_path: Path) -> None:
    variables, says = JAX[case]
    where = place(tmp_path / "study", TINY)
    machine = elsewhere(tmp_path / "machine", **variables)
    ran = machine.workbench("run", str(where.file), "--home", str(where.home))
    assert ran.status == 2, ran.err
    assert ran.err.splitlines()[-1].startswith(says)
    assert "unset it" in ran.err
    assert not where.home.exists()
