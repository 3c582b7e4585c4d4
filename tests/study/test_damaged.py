"""A study whose files were damaged: the same trials again, or one sentence; from the command line."""

from __future__ import annotations

import random
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import pytest

from tests.helpers.end_to_end import TINY, Place, place, scores
from tests.system.test_crashes import after, start, strike
from workbench.cli.main import main
from workbench.study import results

pytestmark = pytest.mark.filterwarnings("ignore")  # of MLflow, which reads

Lines = list[bytes]
NAMES = [
    "My%20Project",
    "a b",
    "ü",
    "a+b",
    "it's",
    'say "x"',
    "what?",
    "no#1",
    "{x}",
    "50%",
    "a&b=c;d",
    "-x",
    "a@b:c",
]


@contextmanager
def copied(where: Place, folder: Path) -> Iterator[Place]:
    """A finished study in another place, as if it had to read its journal again."""
    shutil.copytree(where.file.parent, folder)
    copy = Place(folder / where.file.name, folder / where.home.name)
    (copy.folder / "result.json").unlink()
    yield copy


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A finished study, in a home whose name an address would take for another."""
    where = Place(place(tmp_path_factory.mktemp("tiny") / "study", TINY).file, Path())
    where = where._replace(home=where.file.parent / NAMES[0])
    ran = where.run()
    assert ran.status == 0, ran.err
    return where


def turned(line: bytes) -> bytes:
    """With one bit of a byte in its middle turned."""
    middle = len(line) // 2
    return line[:middle] + bytes([line[middle] ^ 1]) + line[middle + 1 :]


RECOVERED: dict[str, Callable[[Lines], Lines]] = {
    "its last line doubled": lambda lines: [*lines, lines[-1]],
    "a line doubled in the middle": lambda lines: [*lines[:3], lines[2], *lines[3:]],
    "all of it twice": lambda lines: lines * 2,
    "its last line cut": lambda lines: [*lines[:-1], lines[-1][:-5]],
    "its last lines gone": lambda lines: lines[:3],
    "nothing left": lambda lines: [],
}
REFUSED: dict[str, Callable[[Lines], Lines]] = {
    "a line missing": lambda lines: [*lines[:2], *lines[3:]],
    "two lines exchanged": lambda lines: [lines[0], lines[2], lines[1], *lines[3:]],
    "its first line missing": lambda lines: lines[1:],
    "a bit turned": lambda lines: [lines[0], turned(lines[1]), *lines[2:]],
    "another study's line": lambda lines: [lines[0], b'1234abcd {"kind":"ask"}\n', *lines[2:]],
    "an empty line": lambda lines: [*lines[:2], b"\n", *lines[2:]],
}


@pytest.mark.slow
@pytest.mark.parametrize("case", RECOVERED)
def test_a_journal_that_can_be_read_gives_the_same_trials(case: str, tiny: Place, tmp_path: Path) -> None:
    with copied(tiny, tmp_path / "copy") as where:
        damage(where, RECOVERED[case])
        ran = where.run()
        assert ran.status == 0, ran.err
        assert scores(where.outcome) == scores(tiny.outcome)
        assert ran.result["test"]["look"] == 1


@pytest.mark.parametrize("case", REFUSED)
def test_a_journal_that_cannot_be_read_is_one_sentence(
    case: str, tiny: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with copied(tiny, tmp_path / "copy") as where:
        damage(where, REFUSED[case])
        before = (where.folder / "journal").read_bytes()
        assert main(["run", str(where.file), "--home", str(where.home)]) == 2
        sentence = capsys.readouterr().err.splitlines()[-1]
        assert "journal: line" in sentence
        assert "cut it off before that line" in sentence
        assert (where.folder / "journal").read_bytes() == before


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_checkpoints_that_were_altered_or_swapped(seed: int, tiny: Place, tmp_path: Path) -> None:
    text = TINY.replace("epochs     = 3", "epochs     = 40").replace("trials = 4", "trials = 9")
    whole, where = place(tmp_path / "whole", text), place(tmp_path / "cut", text)
    assert whole.run("--search-only").status == 0
    with start(where, "--search-only") as process:
        strike(process, where, after("launch", 1), signal.SIGKILL)
    kept = sorted((where.folder / "checkpoints").glob("*.npz"))
    assert kept
    draw = random.Random(seed)
    for file in kept:
        content = bytearray(file.read_bytes())
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        file.write_bytes(content)
    if seed == 0 and len(kept) > 1:
        shutil.copy(kept[0], kept[1])
    ran = where.run("--search-only")
    assert ran.status == 0, ran.err
    assert "is trained again from its start" in ran.err
    assert scores(where.outcome) == scores(whole.outcome)


@pytest.mark.parametrize(
    "name", [NAMES[0], *(pytest.param(name, marks=pytest.mark.slow) for name in NAMES[1:])]
)
def test_a_home_of_any_name_holds_everything(name: str, tiny: Place, tmp_path: Path) -> None:
    import mlflow

    from workbench.core.locations import resolve

    where = tiny
    if name != NAMES[0]:
        where = Place(place(tmp_path, TINY).file, tmp_path / name)
        ran = where.run()
        assert ran.status == 0, ran.err
    assert sorted(path.name for path in where.file.parent.iterdir()) == sorted([name, "study.toml"])
    assert {"mlflow.db", "workbench.db", "artifacts"} <= {path.name for path in where.home.iterdir()}
    assert scores(where.outcome) == scores(tiny.outcome)
    address = resolve(str(where.home), environ={}).tracking_uri
    client = mlflow.MlflowClient(address, address)
    assert client.get_model_version_by_alias("tiny", "champion").version
    (model,) = client.search_logged_models([client.get_experiment_by_name("tiny").experiment_id])
    delivered = Path(url2pathname(urlsplit(model.artifact_location).path))
    assert (delivered / "MLmodel").is_file()
    assert delivered.is_relative_to(where.home)


def test_what_holds_rows_is_for_its_owner_alone(tiny: Place) -> None:
    private = [tiny.folder / name for name in ("test.npz", "outputs.npz", "outcome.json", "result.json")]
    for path in (*private, tiny.folder, tiny.home):
        assert path.stat().st_mode & 0o077 == 0, path


def damage(where: Place, how: Callable[[Lines], Lines]) -> None:
    journal = where.folder / "journal"
    journal.write_bytes(b"".join(how(journal.read_bytes().splitlines(keepends=True))))


@pytest.mark.parametrize("name", ["result.json", "outcome.json", "outputs.npz", "test.npz"])
def test_a_record_that_was_damaged_is_made_again_or_told(
    name: str, tiny: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = Place(tmp_path / "copy" / tiny.file.name, tmp_path / "copy" / tiny.home.name)
    shutil.copytree(tiny.file.parent, tmp_path / "copy")
    file = copy.folder / name
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    if name == "result.json":
        assert results.load(copy.folder) is None
        return
    status = main(["show", str(copy.file), "--home", str(copy.home)])
    err = capsys.readouterr().err
    assert (status, "Traceback" in err) == (0 if name == "test.npz" else 2, False)
    if status:
        assert "is damaged; remove result.json there and run the study again" in err
