"""Replacing of output: --force deletes what the same command made before, and never anything else."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from breasts import pairs_store
from gan_runs import SHORT
from small_stores import make_store

from mammogan.__main__ import app, main
from mammogan.data.store import Store
from mammogan.gan.config import Config
from mammogan.gan.training import Run
from mammogan.reader_study.database import Database
from mammogan.reader_study.design import ReaderStudy
from mammogan.reader_study.export import responses

# Each command that has --force: its arguments, where {out} is the output, and its first input.
COMMANDS = {
    "phantom": ("phantom {out} --count 4 --height 80 --width 64", ""),
    "ingest": ("ingest {phantoms} --store {out} --height 40 --width 32", "phantoms"),
    "sample": ("sample {run} --count 2 --out {out} --device cpu", "run"),
    "sample a store": ("sample {run} --count 2 --out {out} --device cpu --format zarr", "run"),
    "inspect": ("inspect {store} --out {out} --count 2", "store"),
    "study build": ("study build {store} {other} --out {out} --pairs 1", "store"),
    "study analyse": ("study analyse {answers} --out {out} --simulations 99", "answers"),
    "align": ("align {store} {other} --out {out} --moments-only --draws 2 --splits 2 --permutations 2", "store"),
    "pairs": ("pairs {both} --out {out}", "both"),
    "reference": ("reference {run} --real {trained} --out {out} --count 16", "run"),
}
QUICK = ["phantom", "ingest", "inspect", "study build"]  # commands that take less than a second or two


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory, phantoms: Path) -> dict[str, Path]:
    """Return inputs of all commands by name; a test uses copies of them."""
    folder = tmp_path_factory.mktemp("inputs")
    for number, name in enumerate(("store", "other", "trained")):
        make_store(folder / name, 40, number)
    shutil.copytree(phantoms, folder / "phantoms")
    pairs_store(folder / "both", 4)
    settings = Config().changed({**SHORT, "levels": 4, "stable_images": 8, "fade_images": 8, "total_images": 64})
    Run.open(Store.open(folder / "trained"), folder / "run", settings).train()
    rows = [(f"r{reader}", k, (reader * k) % 2) for reader in range(8) for k in range(1, 11)]
    pd.DataFrame(rows, columns=["reader", "question", "correct"]).to_csv(folder / "answers", index=False)
    return {path.name: path for path in folder.iterdir()}


@pytest.fixture
def copies(inputs: dict[str, Path], tmp_path: Path) -> dict[str, Path]:
    for name, path in inputs.items():
        (shutil.copytree if path.is_dir() else shutil.copy)(path, tmp_path / name)
    return {name: tmp_path / name for name in inputs}


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    def run(*arguments: str) -> tuple[int, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main(lambda: app(list(arguments)))
        return int(end.value.code or 0), capsys.readouterr().err

    return run


def content(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def words(name: str, out: Path, copies: dict[str, Path]) -> list[str]:
    return [word.format(out=out, **copies) for word in COMMANDS[name][0].split()]


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_force_replaces_nothing_but_output_of_the_same_command(
    call: Callable[..., tuple[int, str]], copies: dict[str, Path], tmp_path: Path, name: str
) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "diary.txt").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "precious")
    (tmp_path / "group").mkdir()
    (tmp_path / "group" / "zarr.json").write_text('{"attributes": {"made_by": "me"}}')
    given = COMMANDS[name][1]
    (tmp_path / "parent").mkdir()
    if given:  # the input is within the output
        copies[given] = copies[given].rename(tmp_path / "parent" / given)
    outputs = [tmp_path / "precious", tmp_path / "link", tmp_path / "group", tmp_path]
    if given:
        outputs += [copies[given], tmp_path / "parent"]
    if given and copies[given].is_dir():
        inside = next(path for path in sorted(copies[given].iterdir()) if path.is_dir() or path.suffix == ".dcm")
        outputs.append(inside)
    before = content(tmp_path)
    for out in outputs:
        code, said = call(*words(name, out, copies), "--force")
        assert code == 1, (out, said)
        assert said.startswith("mammogan: ") and len(said.strip().splitlines()) == 1, said
        assert "give another folder" in said
        assert "--force" not in said
        assert content(tmp_path) == before
        assert (tmp_path / "link").is_symlink()


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in QUICK else pytest.mark.slow) for n in COMMANDS])
def test_output_of_the_same_command_is_replaced_and_kept_where_that_fails(
    call: Callable[..., tuple[int, str]],
    copies: dict[str, Path],
    tmp_path: Path,
    name: str,
) -> None:
    out = tmp_path / "out"
    assert call(*words(name, out, copies)) == (0, "")
    # A few folders of each depth: a store has many alike.
    for folder in [out, *sorted(path for path in out.rglob("*") if path.is_dir())[:40:3]]:
        (folder / "notes.txt").write_text("mine")
        before = content(tmp_path)
        code, said = call(*words(name, out, copies), "--force")
        assert code == 1 and f"{folder / 'notes.txt'} would be lost" in said, said
        assert content(tmp_path) == before
        (folder / "notes.txt").unlink()
    before = content(out)
    given = COMMANDS[name][1]
    if given:  # an input that is mistyped
        wrong = [word.replace(str(copies[given]), str(tmp_path / "mistyped")) for word in words(name, out, copies)]
        assert call(*wrong, "--force")[0] == 1
        assert content(out) == before
    assert call(*words(name, out, copies), "--force", "--mistyped")[0] == 2
    assert call(*words(name, out, copies), "--seed", "x", "--force")[0] == 2
    assert content(out) == before
    names = {path.name for path in tmp_path.iterdir()}
    code, said = call(*words(name, out, copies), "--force")
    assert code == 0, said
    assert content(out).keys() == before.keys() or name == "study build"  # pictures have random names
    assert {path.name for path in tmp_path.iterdir()} == names


def test_settings_are_checked_before_anything_is_replaced(
    call: Callable[..., tuple[int, str]], copies: dict[str, Path], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert call(*words("ingest", out, copies))[0] == 0
    before = content(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "labels.csv").write_text("a,b")
    before = content(tmp_path)
    for wrong in (
        ["ingest", str(copies["phantoms"]), "--laterality", "up"],
        ["ingest", str(copies["phantoms"]), "--refuse-flag", "nothing"],
        ["ingest", str(copies["phantoms"]), "--assume", "color=blue"],
        ["ingest", str(copies["phantoms"]), "--labels", str(tmp_path / "labels.csv")],
        ["ingest", str(copies["phantoms"]), "--labels", str(out / "zarr.json")],
        ["ingest", str(tmp_path / "nowhere")],
        ["ingest", str(tmp_path / "empty")],
    ):
        assert call(*wrong, "--store", str(out), "--force")[0] in (1, 2)
        after = content(tmp_path)
        assert all(after[path] == before[path] for path in before), wrong


def test_a_store_of_another_command_or_in_use_is_not_replaced(
    call: Callable[..., tuple[int, str]], copies: dict[str, Path], tmp_path: Path
) -> None:
    import fcntl

    out = tmp_path / "out"
    assert call(*words("ingest", out, copies))[0] == 0
    before = content(tmp_path)
    code, said = call(*words("sample a store", out, copies), "--force")
    assert code == 1 and "is not a folder of drawn images or a store of mammogan sample" in said
    with (out / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        code, said = call(*words("ingest", out, copies), "--force")
    assert code == 1 and "Another process writes to" in said
    assert content(tmp_path) == before


def test_stores_next_to_a_comparison_are_not_replaced_where_they_are_inputs(
    call: Callable[..., tuple[int, str]], copies: dict[str, Path], tmp_path: Path
) -> None:
    real = copies["store"].rename(tmp_path / "out.real.store")
    (tmp_path / "out.synthetic.store").mkdir()
    (tmp_path / "out.synthetic.store" / "mine").touch()
    before = content(tmp_path)
    command = ["align", str(real), str(copies["phantoms"]), "--out", str(tmp_path / "out"), "--force"]
    code, said = call(*command)
    assert code == 1 and "out.synthetic.store" in said
    assert content(tmp_path) == before


@pytest.mark.slow
def test_a_table_of_answers_replaces_only_a_table_of_answers(
    call: Callable[..., tuple[int, str]], copies: dict[str, Path], tmp_path: Path
) -> None:
    study, out = tmp_path / "study", tmp_path / "answers.csv"
    assert call(*words("study build", study, copies))[0] == 0
    for wrong in (copies["answers"], study / "study.json", tmp_path):
        before = content(tmp_path)
        code, said = call("study", "export", str(study), "--out", str(wrong), "--force")
        assert code == 1 and len(said.strip().splitlines()) == 1
        assert all(content(tmp_path)[path] == before[path] for path in before)
    Database(ReaderStudy.open(study))  # as serving the study makes it, without answers
    code, said = call("study", "export", str(study), "--out", str(out))
    assert code == 0, said
    code, said = call("study", "export", str(study), "--out", str(out))
    assert code == 1 and "--force" not in said
    assert call("study", "export", str(study), "--out", str(out), "--force")[0] == 0
    assert pd.read_csv(out).columns.tolist() == responses(ReaderStudy.open(study)).columns.tolist()
    (tmp_path / "link.csv").symlink_to(out)
    assert call("study", "export", str(study), "--out", str(tmp_path / "link.csv"), "--force")[0] == 1
    assert np.all(out.read_bytes() == (tmp_path / "link.csv").read_bytes())
