"""The record of a run: hashes of code by its imports, and the commit of the checkout."""

from __future__ import annotations

import gc
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mammogan.report import provenance
from mammogan.report.provenance import ROOT


def test_code_hash_follows_imports_and_only_them() -> None:
    readers = provenance.code_hash(["from mammogan.paper import table3"])
    assert readers == provenance.code_hash(["import mammogan.paper.table3"])
    assert readers != provenance.code_hash(["from mammogan.stats import mixed"])
    names = {path.name for path in provenance.imports(["import mammogan.gan.training"])}
    assert {"training.py", "networks.py", "store.py"} <= names
    assert "coverage.py" not in names
    assert "printed.toml" in {path.name for path in provenance.imports(["import mammogan.paper.table3"])}
    assert provenance.code_hash(["from mammogan.pipeline import stage_output"]) == provenance.code_hash(
        ["import mammogan"]
    )


class Finalized:
    """Garbage whose end lets another thread run, whatever the one that collects it was about."""

    def __init__(self) -> None:
        self.itself = self

    def __del__(self) -> None:
        time.sleep(0.0005)


def test_imports_are_found_by_several_threads_at_once() -> None:
    source = Path(provenance.__file__).read_text()
    once = provenance.imported_names(source)

    def work(_: int) -> bool:
        for _ in range(5):
            Finalized()
        return provenance.imported_names(source) == once

    before = gc.get_threshold()
    gc.set_threshold(200)
    try:
        with ThreadPoolExecutor(4) as pool:
            assert all(pool.map(work, range(40)))
    finally:
        gc.set_threshold(*before)


def test_files_that_modules_read_count_as_code() -> None:
    """The numbers of the paper are in a file next to their module."""
    paper = provenance.modules(["from mammogan.paper import printed"])
    assert {"mammogan/paper/printed.py", "mammogan/paper/printed.toml"} <= paper.keys()
    assert "mammogan/paper/consistency.toml" not in paper


def test_a_commit_is_named_in_a_checkout_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed package may be inside of another repository, whose commit says nothing about it."""
    if (ROOT / ".git").exists():
        assert len(provenance.commit()[0]) == 40
        monkeypatch.setattr(provenance, "ROOT", ROOT / "mammogan")
        assert provenance.commit() == ("unknown", False)
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    assert provenance.commit() == ("unknown", False)


def test_a_copy_in_another_repository_does_not_state_its_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def git(folder: Path, *arguments: str) -> str:
        identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        return subprocess.run(["git", "-C", folder, *identity, *arguments], check=True, stdout=-1, text=True).stdout

    for folder in (tmp_path, tmp_path / "checkout", tmp_path / "copy"):
        folder.mkdir(exist_ok=True)
        (folder / "pipeline.yaml").touch()
        if folder.name != "copy":
            git(folder, "init", "-q")
            git(folder, "add", "pipeline.yaml")
            git(folder, "commit", "-q", "-m", folder.name)
    monkeypatch.setattr(provenance, "ROOT", tmp_path / "copy")
    assert provenance.commit() == ("unknown", False)
    monkeypatch.setenv("GIT_DIR", str(tmp_path / ".git"))  # as in a hook of the outer repository
    assert provenance.commit() == ("unknown", False)
    monkeypatch.setattr(provenance, "ROOT", tmp_path / "checkout")
    revision, dirty = provenance.commit()
    monkeypatch.delenv("GIT_DIR")
    assert (revision, dirty) == (git(tmp_path / "checkout", "rev-parse", "HEAD").strip(), False)
    (tmp_path / "checkout" / "pipeline.yaml").write_text("stages: {}")
    assert provenance.commit() == (revision, True)


def test_a_folder_is_hashed_by_its_listing(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    before = provenance.tree_hash(tmp_path)
    assert provenance.tree_hash(tmp_path) == before
    assert provenance.tree_hash(tmp_path / "a") != before
    (tmp_path / "b").touch()
    assert provenance.tree_hash(tmp_path) != before
