"""What moves between training and test: nothing with another seed, a few rows with appended ones, as told."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.helpers.end_to_end import ONE_TRIAL
from workbench.cli.main import main
from workbench.core.locations import resolve
from workbench.core.records import Opening
from workbench.data import divisions, load, unseal
from workbench.storage.journal import Journal, read
from workbench.study.config import read_study, vary
from workbench.study.crossings import Crossed, Parts, crossed
from workbench.study.workspace import development

STUDY = f"""name = "moving"
seed = SEED
[data]
source = "a.csv"
target = "y"
{ONE_TRIAL}"""


def frame(n: int) -> pd.DataFrame:
    x = np.random.default_rng(0).normal(size=(n, 2))
    return pd.DataFrame({"x": x[:, 0], "z": x[:, 1], "y": x[:, 0] + 1.0})


def test_crossed() -> None:
    marks = np.arange(10, dtype=np.uint64)
    before = Parts(marks[:6], marks[6:8])
    assert crossed(before, before) == Crossed(0, 0)
    assert crossed(before, Parts(marks[[0, 1, 6, 8]], marks[[2, 3, 7, 9]])) == Crossed(1, 2)
    copies = Parts(marks[[0, 0, 6]], marks[[6, 7]])  # what stood on both sides has not moved
    assert crossed(copies, before) == Crossed(0, 0)


def test_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study, home = tmp_path / "s.toml", tmp_path / "home"

    def seal(seed: int) -> tuple[str, str, str]:
        study.write_text(STUDY.replace("SEED", str(seed)))
        assert main(["run", str(study), "--search-only", "--home", str(home)]) == 0
        begun = read(resolve(str(home)).study(read_study(study).id) / "journal")[0]
        said = " ".join(capsys.readouterr().err.split())
        return begun["seal"]["fingerprint"], begun["data"], said

    frame(150).to_csv(tmp_path / "a.csv", index=False)
    (sealed, data, _), (again, same, said) = seal(0), seal(1)
    assert (sealed, data) == (again, same)
    assert "under test" not in said
    frame(170).to_csv(tmp_path / "a.csv", index=False)
    other, _, said = seal(2)
    assert other != sealed
    to_development, to_test = (
        int(said.split(mark)[0].split()[-1]) for mark in (" rows that were under test", " that were trained")
    )
    assert 0 < to_development + to_test < 15


@pytest.mark.parametrize("keys", ["", "folds = 3\n", "holdouts = 2\n"])
def test_studies_of_earlier_versions_keep_their_split(tmp_path: Path, keys: str) -> None:
    frame(150).to_csv(tmp_path / "a.csv", index=False)
    (tmp_path / "s.toml").write_text(STUDY.replace("SEED", "3").replace("[model]", f"{keys}[model]"))
    study = read_study(tmp_path / "s.toml")
    old, sealed = load(replace(study.data, split_rule="rows"))
    begun = {"kind": "study", "id": study.id, "data": old.fingerprint, "seal": asdict(sealed)}
    journal = Journal(tmp_path / "journal")
    journal.append([begun])  # as it was written before there was another rule
    journal.close()
    dataset, again = development(study, tmp_path / "journal")
    assert (dataset.fingerprint, again) == (old.fingerprint, sealed)
    parts = zip(divisions(dataset), divisions(old), strict=True)
    assert all(np.array_equal(one.validation, other.validation) for one, other in parts)
    opened = unseal(sealed, dataset, Opening("s", sealed.fingerprint, "c", 1))
    assert len(opened.x) == sealed.rows == 30
    new, promise = development(study, tmp_path / "nowhere")
    assert promise.fingerprint != sealed.fingerprint
    assert new.spec.split_rule == "content"


def test_the_split_seed_is_part_of_a_study(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text(STUDY.replace("SEED", "0"))
    study = read_study(tmp_path / "s.toml")
    other = vary(study, split_seed=2)
    assert other.fingerprint != study.fingerprint
    assert vary(study, split_seed=0).fingerprint == study.fingerprint
    (tmp_path / "other.toml").write_text(other.text)
    assert read_study(tmp_path / "other.toml").fingerprint == other.fingerprint
    old = replace(study, data=replace(study.data, split_rule="rows"))
    assert old.fingerprint == study.fingerprint
