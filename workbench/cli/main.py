"""The command line: options, exit statuses, and what goes to which stream.

Each command is a line in `COMMANDS` and a function in `commands`. Nothing heavy is imported before a command
runs, so that `--help` answers at once. Exit status: 0 done, 1 the work failed, 2 bad input (one sentence),
130 interrupted.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from workbench.cli.streams import Output, output, showable, until_closed
from workbench.core.addresses import redact
from workbench.core.cores import limit_threads
from workbench.core.errors import InputError, WorkbenchError, of_system
from workbench.study.interrupts import heard


class Command(NamedTuple):
    """A command: its line of help, the options it takes, and its arguments. Its work is `commands.NAME`."""

    summary: str
    options: tuple[str, ...]
    arguments: tuple[str, ...] = ()


_OPTIONS: dict[str, dict[str, Any]] = {
    "study": {"metavar": "STUDY", "help": "a study file, such as studies/digits-mlp.toml"},
    "target": {
        "metavar": "TARGET",
        "help": "a study file (its choice), a trial (x.toml#36), an experiment (c08), or a run id of MLflow",
    },
    "data": {"metavar": "DATA", "help": "a file of rows: .csv, .tsv, .parquet or .npz"},
    "--target": {"metavar": "COLUMN", "help": "the column to predict, or several: A,B"},
    "--output": {"metavar": "FILE", "help": "the file to write"},
    "--keep": {
        "metavar": "COLUMN",
        "action": "append",
        "default": [],
        "help": "a column of DATA, such as an id, to be written beside the predictions; may be repeated",
    },
    "--interval": {
        "metavar": "SHARE",
        "help": "add lower and upper ends between which this share of new rows shall lie, such as 0.9",
    },
    "--escape": {
        "action": "store_true",
        "help": "put a ' before text that a spreadsheet takes for a formula",
    },
    "--home": {"metavar": "DIR", "help": "what holds everything embedded ($WORKBENCH_HOME, else runs/)"},
    "--tracking-uri": {"metavar": "URI", "help": "an MLflow server or database ($MLFLOW_TRACKING_URI)"},
    "--storage": {"metavar": "URL", "help": "an Optuna database URL ($WORKBENCH_STORAGE)"},
    "--cluster": {
        "metavar": "ADDRESS",
        "help": "who helps to train: HOST:PORT or FILE.json of a scheduler, or local:N ($WORKBENCH_CLUSTER)",
    },
    "address": {
        "metavar": "ADDRESS",
        "nargs": "?",
        "help": "HOST:PORT or FILE.json of a scheduler ($WORKBENCH_CLUSTER)",
    },
    "--scheduler-file": {"metavar": "FILE", "help": "a .json file in which the scheduler's address stands"},
    "--host": {
        "metavar": "HOST",
        "default": "127.0.0.1",
        "help": "address to listen on; 0.0.0.0 for other machines (127.0.0.1)",
    },
    "--interface": {"metavar": "NAME", "help": "network to listen on, such as ib0, instead of --host"},
    "--device": {"metavar": "N", "help": "use the accelerator of this number alone"},
    "--trials": {"metavar": "N", "help": "the study's total budget of trials, instead of [search] trials"},
    "--sizes": {"metavar": "N", "help": "train the choice on N parts of the training rows: would more help?"},
    "--search-only": {"action": "store_true", "help": "stop before the test set"},
    "--verdict-only": {
        "action": "store_true",
        "help": "a further look says whether the choice beats the recorded one, and no score",
    },
    "name": {"metavar": "NAME|all", "help": "an experiment, such as c08, or all"},
    "--write": {"action": "store_true", "help": "keep record and figure in experiments/"},
    "--verify": {"action": "store_true", "help": "say whether the chain of openings is whole"},
    "--port": {"metavar": "PORT", "help": "port to listen on (ui: 5000, scheduler: 8786)"},
    "--plugin": {
        "metavar": "FILE",
        "action": "append",
        "default": [],
        "help": "a Python file that registers words of your own; may be given again",
    },
    "--json": {"action": "store_true", "help": "print one JSON object, the rest on standard error"},
    "--debug": {"action": "store_true", "help": "show the traceback of an unexpected error"},
}
_SHORT = {"--output": "-o"}
_PLACES = ("--home", "--tracking-uri", "--storage")
_ALWAYS = ("--plugin", "--json", "--debug")
#: Characters of a sentence about a mistake.
_LONGEST = 800

COMMANDS: dict[str, Command] = {
    "run": Command(
        "search, choose, retrain over seeds, open the test set once, report",
        ("--trials", "--search-only", "--verdict-only", "--cluster", *_PLACES),
        ("study",),
    ),
    "confirm": Command(
        "open the test set of a finished search",
        ("--trials", "--verdict-only", "--cluster", *_PLACES),
        ("study",),
    ),
    "check": Command("validate and plan; train nothing", ("--trials", *_PLACES), ("study",)),
    "scheduler": Command(
        "where runs with --cluster and workers meet (dask's)",
        ("--host", "--port", "--interface", "--scheduler-file"),
    ),
    "worker": Command(
        "train for whoever runs a study with --cluster (dask's)",
        ("--scheduler-file", "--device", "--home"),
        ("address",),
    ),
    "keys": Command("every key of a study file: what it may hold, its default, what it means", ()),
    "show": Command(
        "best trials, importances, diagnosis; write the report", ("--trials", "--sizes", *_PLACES), ("study",)
    ),
    "new": Command("write a starter study for a data file of your own", ("--target", "--output"), ("data",)),
    "predict": Command(
        "predictions of the chosen model for new rows",
        ("--output", "--keep", "--interval", "--escape", "--home", "--storage"),
        ("study", "data"),
    ),
    "export": Command(
        "the chosen model as one ONNX file, from raw columns to predictions",
        ("--output", "--home", "--storage"),
        ("study",),
    ),
    "experiment": Command(
        "put a claim to the test, or all of them", ("--write", "--home", "--tracking-uri"), ("name",)
    ),
    "reproduce": Command(
        "train a run, a trial or an experiment again from its record and compare", _PLACES, ("target",)
    ),
    "ledger": Command("every opening of every test set", ("--verify", *_PLACES)),
    "ui": Command("the MLflow UI over the same store, on loopback", ("--port", "--home", "--tracking-uri")),
}


#: When Python looks for garbage: after so many new objects, and through the older ones every twentieth time.
COLLECTED = (100_000, 20, 20)


def command() -> NoReturn:
    """What the program `workbench` is: one command, and out at once.

    Whatever must be closed is closed by then. Taking jax apart takes another second or two, for nothing.
    So does looking for garbage while modules load and programs are traced: they make objects that stay.
    """
    gc.set_threshold(*COLLECTED)
    showable()
    with suppress(InputError):  # a WORKBENCH_CORES that is wrong is told by what needs it
        limit_threads()
    status = main()
    with until_closed():
        sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit status and raises nothing but what --help and --version raise."""
    argv = sys.argv[1:] if argv is None else list(argv)
    with output(json="--json" in argv) as out:
        try:
            with heard():
                return _run(_options(argv), out)
        except KeyboardInterrupt:
            return _fail(out, "workbench: interrupted; run the same command again to go on from here", 130)
        except WorkbenchError as error:
            return _fail(out, _one_line(str(error)), error.exit_status)
        except Exception as error:
            if refused := of_system(error):
                return _fail(out, _one_line(redact(str(refused))), refused.exit_status)
            return _fail(out, f"workbench: unexpected {_unexpected(error, argv)}", 1)


def _run(options: argparse.Namespace, out: Output) -> int:
    from workbench.cli import commands
    from workbench.core import plugins

    for file in options.plugin:
        plugins.load(Path(file))
    work = getattr(commands, options.command)
    status: int = work(options, out)
    return status


def _options(argv: Sequence[str]) -> argparse.Namespace:
    options, unknown = _parser().parse_known_args(argv)
    if not unknown:
        return options
    from workbench.core.formatting import nearest

    command = options.command
    close = nearest(unknown[0].partition("=")[0], (*COMMANDS[command].options, *_ALWAYS))
    hint = f"did you mean {close}?" if close else f"see workbench {command} --help"
    raise InputError(f"workbench {command}: {unknown[0]} is not understood here; {hint}")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="workbench",
        description="A research workbench for neural networks: fused searches and honest test scores.",
        epilog="workbench COMMAND --help tells the options of a command.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version")
    commands = parser.add_subparsers(title="commands", dest="command", metavar="COMMAND", required=True)
    for name, command in COMMANDS.items():
        sub = commands.add_parser(
            name,
            help=command.summary,
            description=f"{command.summary[0].upper()}{command.summary[1:]}.",
            allow_abbrev=False,
        )
        for option in (*command.arguments, *command.options, *_ALWAYS):
            names = (_SHORT[option], option) if option in _SHORT else (option,)
            sub.add_argument(*names, **_OPTIONS[option])
    return parser


class _Parser(argparse.ArgumentParser):
    """argparse, but a mistake is an InputError like every other: one sentence and no usage lines."""

    def error(self, message: str) -> NoReturn:
        if "invalid choice" in message:
            from workbench.core.formatting import nearest

            word = message.split("'")[1]
            close = nearest(word, tuple(COMMANDS))
            raise InputError(
                f"workbench {word}: is not a command; "
                + (f"did you mean {close}?" if close else f"the commands are {', '.join(COMMANDS)}")
            )
        raise InputError(f"{self.prog}: {message}; see {self.prog} --help")


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *unused: object) -> None:
        from importlib.metadata import version

        print(f"workbench {version('workbench')}")
        parser.exit()


def _fail(out: Output, message: str, status: int) -> int:
    print(message, file=sys.stderr)
    out.result(
        {"status": "interrupted" if status == 130 else "failed", "error": message, "exit_status": status}
    )
    return status


def _unexpected(error: Exception, argv: Sequence[str]) -> str:
    """Says what happened in one line, and keeps the traceback where it can be found."""
    import time
    import traceback

    from workbench.core.files import private_folder, write_text
    from workbench.core.locations import resolve

    said = [_value_of(option, argv) for option in ("--tracking-uri", "--storage")]
    said += [os.environ.get(name) for name in ("MLFLOW_TRACKING_URI", "WORKBENCH_STORAGE")]
    addresses = [address for address in said if address]
    what = redact(_one_line(f"{type(error).__name__}: {error}"), *addresses)
    text = redact("".join(traceback.format_exception(error)), *addresses)
    if "--debug" in argv:
        print(text, file=sys.stderr)
        return what
    try:
        logs = resolve(_value_of("--home", argv)).logs
        private_folder(logs)
        path = logs / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.txt"
        write_text(path, redact(f"workbench {' '.join(argv)}\n\n{text}", *addresses), private=True)
    except (OSError, WorkbenchError):
        return f"{what}; add --debug to see the traceback"
    return f"{what}; the traceback is in {path}"


def _value_of(option: str, argv: Sequence[str]) -> str | None:
    for word, following in zip(argv, [*argv[1:], None], strict=True):
        if word == option:
            return following
        if word.startswith(f"{option}="):
            return word.partition("=")[2]
    return None


def _one_line(text: str) -> str:
    """One line; one that quotes half a file is cut where neither the file nor the remedy stands."""
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST // 2]} … {line[-_LONGEST // 3 :]}"
