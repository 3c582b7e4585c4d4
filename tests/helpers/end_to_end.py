"""Running the program as a user does, and reading what it left behind with the libraries' own readers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from tests.helpers import forked
from workbench.cli.main import main
from workbench.core.records import Outcome, encode, encode_trial
from workbench.storage import journal, outcomes

#: Divergence, pruning and early stopping all happen in it.
SMALL = """\
name     = "small"
question = "Is everything kept?"
seed     = 0

[data]
source = "wine"

[model]
family     = "mlp"
depth      = { low = 1, high = 2 }
width      = { low = 4, high = 12, log = true }
activation = { choices = ["relu", "tanh"] }

[optimizer]
name          = { choices = ["adam", "momentum"] }
learning_rate = { low = 1e-4, high = 1e20, log = true }
schedule      = "cosine"

[regularization]
l2             = { low = 1e-6, high = 1e-2, log = true }
early_stopping = { patience = 4 }

[training]
epochs     = 14
batch_size = { choices = [16, 32] }

[search]
trials = 24
parallel = 6
seeds  = 2
"""

#: Ends within seconds.
TINY = """\
name     = "tiny"
question = "Which cultivar is it?"
seed     = 0

[data]
source = "wine"

[model]
family = "softmax"

[optimizer]
learning_rate = { low = 1e-4, high = 1e-3, log = true }

[training]
epochs     = 3
batch_size = 32

[search]
trials = 4
seeds  = 1
"""


#: What a study of a file says beside its data where little is to be trained.
ONE_TRIAL = """[model]
width = 4
depth = 1
[training]
epochs = 1
[search]
trials = 1
seeds = 1
"""


class Ran(NamedTuple):
    """A command that has ended."""

    status: int
    out: str
    err: str
    seconds: float

    @property
    def result(self) -> dict[str, Any]:
        """The last line of standard output."""
        return dict(json.loads(self.out.splitlines()[-1]))


class Place(NamedTuple):
    """A study file and the home it is run in."""

    file: Path
    home: Path

    def run(self, *words: str, command: str = "run", python: tuple[str, ...] = ()) -> Ran:
        """`workbench COMMAND FILE WORDS --home HOME --json` in a process of its own."""
        return workbench(command, str(self.file), *words, "--home", str(self.home), "--json", python=python)

    @property
    def folder(self) -> Path:
        """The folder of the one study that was run here."""
        (folder,) = (self.home / "studies").iterdir()
        return folder

    @property
    def outcome(self) -> Outcome:
        """What the study left."""
        outcome = outcomes.load(self.folder)
        assert outcome is not None
        return outcome

    def events(self, kind: str) -> list[dict[str, Any]]:
        """The records of a kind in the journal."""
        return [record for record in journal.read(self.folder / "journal") if record["kind"] == kind]


def place(folder: Path, text: str = SMALL) -> Place:
    """A study file in a folder, and its home beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "study.toml"
    file.write_text(text)
    return Place(file, folder / "home")


def workbench(*words: str, python: tuple[str, ...] = (), timeout: float = 1500.0) -> Ran:
    """The program in a process of its own."""
    began, environ = time.monotonic(), environment()
    with (
        Path(os.devnull).open("rb") as nothing,
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as err,
    ):
        streams = {"stdin": nothing, "stdout": out, "stderr": err}
        if not python and forked.possible(environ):
            started: Any = forked.Forked("workbench", words, environ, **streams)
        else:
            command = [sys.executable, *python, "-m", "workbench", *words]
            started = subprocess.Popen(command, env=environ, **streams)
        try:
            status = started.wait(timeout)
        finally:
            started.kill()
        said = []
        for stream in (out, err):
            stream.seek(0)
            said.append(stream.read().decode())
    return Ran(status, *said, time.monotonic() - began)


@contextmanager
def process(*words: str) -> Iterator[subprocess.Popen[str]]:
    """The program beside the test; killed at the end if it still runs."""
    started = subprocess.Popen(
        [sys.executable, "-m", "workbench", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    try:
        yield started
    finally:
        started.kill()
        started.communicate()


def answered(*words: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any]]:
    """`workbench WORDS --json` in this process: its exit status, and its object."""
    capsys.readouterr()
    status = main([*words, "--json"])
    return status, json.loads(capsys.readouterr().out.splitlines()[-1])


def environment() -> dict[str, str]:
    """What the process sees: nothing that names another place than the command line does."""
    hidden = ("WORKBENCH_HOME", "WORKBENCH_STORAGE", "MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")
    return {name: value for name, value in os.environ.items() if name not in hidden}


def optuna_studies(where: Place, storage: str = "") -> Any:
    """The Optuna storage as a user opens it: the file in the home, or a database."""
    from optuna.storages.journal import JournalFileBackend, JournalStorage

    return storage or JournalStorage(JournalFileBackend(str(where.home / "optuna.log")))


def scores(outcome: Outcome) -> dict[str, Any]:
    """All that two runs of the same study must have in common, to the last bit; not when, and how long."""
    trials = [encode_trial(trial) for trial in outcome.trials]
    chosen = outcome.selection
    when = {"seconds", "finished"}
    return {
        "trials": [{key: value for key, value in trial.items() if key not in when} for trial in trials],
        "selection": encode(chosen),
        "test": outcome.test,
        "outputs": np.asarray(outcome.outputs).tolist(),
    }
