"""How a file is known: by what it holds, which is read once and noted in the home."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from workbench.core.errors import DataError
from workbench.core.types import DataSpec
from workbench.study import contents as stamps
from workbench.study.config import read_study
from workbench.study.contents import contents


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataSpec:
    """A source and a test file; changes count as old at once, so that stamps are kept."""
    monkeypatch.setattr(stamps, "RECENT", -1e9)
    (tmp_path / "home").mkdir()
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text(f"x,y\n{name},1\n")
    return DataSpec(source="a.csv", test="b.csv", folder=tmp_path)


def test_a_file_that_did_not_move_is_not_read_again(spec: DataSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    notes = spec.folder / "home" / "data"
    first = contents(spec, notes)
    assert set(first.digests) == {"a.csv", "b.csv"}
    assert first == contents(spec) == contents(spec, notes, keep=False)
    hashed: list[str] = []
    real = stamps.hashlib.file_digest
    monkeypatch.setattr(
        stamps.hashlib, "file_digest", lambda file, kind: hashed.append(file.name) or real(file, kind)
    )
    assert contents(spec, notes) == first
    assert hashed == []
    (spec.folder / "b.csv").touch()
    assert contents(spec, notes) == first
    assert hashed == [str(spec.folder / "b.csv")]
    assert contents(spec, notes) == first
    assert len(hashed) == 1
    for note in notes.iterdir():
        note.write_text('{"digest": ')
    assert contents(spec, notes) == first
    assert len(hashed) == 3
    (spec.folder / "a.csv").write_text("x,y\nc.csv,1\n")
    assert contents(spec, notes).digests["a.csv"] != first.digests["a.csv"]


def test_a_change_in_the_last_moments_is_hashed_every_time(
    spec: DataSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stamps, "RECENT", 1e9)
    notes = spec.folder / "home" / "data"
    contents(spec, notes)
    assert all(json.loads(note.read_text())["stamp"] is None for note in notes.iterdir())


def test_where_nothing_can_be_noted_everything_is_hashed(spec: DataSpec) -> None:
    (spec.folder / "home" / "data").write_text("a file where the folder should be")
    assert contents(spec, spec.folder / "home" / "data") == contents(spec)
    assert contents(spec, spec.folder / "elsewhere" / "data") == contents(spec)
    assert not (spec.folder / "elsewhere").exists(), "a home is made by what needs one"


def test_a_missing_file_is_the_one_that_was_known(spec: DataSpec) -> None:
    notes = spec.folder / "home" / "data"
    first = contents(spec, notes)
    (spec.folder / "b.csv").unlink()
    found = contents(spec, notes)
    assert found.digests == first.digests
    assert "b.csv: no such file" in str(found.missing)
    with pytest.raises(DataError, match=r"b\.csv: no such file"):
        contents(spec)


def test_sets_with_a_name_have_no_content(tmp_path: Path) -> None:
    for source in ("digits", "adding-100", "openml:adult.csv"):
        assert contents(DataSpec(source=source, folder=tmp_path)).digests == {}


def test_source_and_test_file_both_count(tmp_path: Path) -> None:
    file = tmp_path / "study.toml"
    file.write_text('name = "s"\n[data]\nsource = "train.csv"\ntest = "test.csv"\n[model]\nfamily = "mlp"\n')

    def asked(train: int, test: int) -> str:
        for name, rows in (("train.csv", train), ("test.csv", test)):
            (tmp_path / name).write_text("a,b,label\n" + f"{rows},0.5,yes\n1,{rows},no\n" * 20)
        return read_study(file).id

    ids = [asked(1, 2), asked(3, 2), asked(3, 3)]
    assert len(set(ids)) == 3
    assert asked(1, 2) == ids[0]
