"""The walk through an archive ends, finds each file once, and says why an entry is not read."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from small_stores import make_store

from mammogan.data.walk import dicom_files, survey, walk


def outcomes(*sources: Path, skip: tuple[Path, ...] = ()) -> dict[str, str]:
    """Return {name of the entry relative to the first source: reason, or "" of a file}; each entry is there once."""
    entries = list(survey(sources, skip))
    result = {
        os.fsencode(os.path.relpath(entry.path, sources[0])).decode(errors="backslashreplace"): (
            entry.refused.reason if entry.refused else ""
        )
        for entry in entries
    }
    assert len(result) == len(entries)
    return result


def test_files_come_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in ("b/1", "a", "c", "b/0", "b/c/d"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert list(outcomes(tmp_path)) == ["a", "b/0", "b/1", "b/c/d", "c"]
    assert list(walk([tmp_path / "c", tmp_path / "b"])) == [tmp_path / name for name in ("c", "b/0", "b/1", "b/c/d")]


def test_a_dicom_file_may_have_any_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "1.2.840.113619.7").write_bytes(bytes(128) + b"DICM")
    (tmp_path / "IM0001").write_bytes(bytes(128) + b"DICM" + bytes(9))
    (tmp_path / "notes.dcm").write_text("no image")
    (tmp_path / "empty").touch()
    assert [path.name for path in dicom_files([tmp_path])] == ["1.2.840.113619.7", "IM0001"]
    opened = Path.open

    def fails_for_one(path: Path, mode: str = "r") -> object:
        if path.name == "1.2.840.113619.7":
            raise PermissionError
        return opened(path, mode)

    monkeypatch.setattr(Path, "open", fails_for_one)
    assert [path.name for path in dicom_files([tmp_path])] == ["IM0001"]


def test_odd_entries_have_a_reason(tmp_path: Path) -> None:
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "x").touch()
    (tmp_path / ".DS_Store").touch()
    (tmp_path / "broken").symlink_to("nowhere")
    (tmp_path / "itself").symlink_to("itself")
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(tmp_path / "socket"))
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("file")
    Path(os.fsdecode(bytes(tmp_path) + b"/M\xfcller")).touch()
    assert outcomes(tmp_path) == {
        ".DS_Store": "hidden",
        ".hidden": "hidden",
        "M\\xfcller": "",
        "broken": "link",
        "file": "",
        "itself": "link",
        "link": "",
        "pipe": "special",
        "socket": "special",
    }


def test_what_cannot_be_read_has_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "closed").mkdir()
    (tmp_path / "open").touch()
    scandir, stat = os.scandir, Path.stat

    def refuse(path: Path) -> object:
        if path.name == "closed":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert outcomes(tmp_path) == {"closed": "unreadable", "open": ""}

    def refuse_all(path: Path, **options: bool) -> os.stat_result:
        if path.name == "open" and options.get("follow_symlinks", True):
            raise PermissionError(13, "Permission denied")
        return stat(path, **options)

    monkeypatch.setattr(Path, "stat", refuse_all)
    assert outcomes(tmp_path) == {"closed": "unreadable", "open": "unreadable"}


def test_loops_of_links_end_and_count_each_file_once(tmp_path: Path) -> None:
    source = tmp_path / "in"
    (source / "a").mkdir(parents=True)
    (source / "b").mkdir()
    (source / "a" / "one").touch()
    (source / "b" / "two").touch()
    (source / "a" / "x").symlink_to("../..")  # above the source
    (source / "a" / "y").symlink_to("..")
    (source / "a" / "b").symlink_to("../b")
    (source / "b" / "a").symlink_to("../a")
    assert outcomes(source) == {
        "a/b": "link",
        "a/one": "",
        "a/x": "link",
        "a/y": "link",
        "b/a": "link",
        "b/two": "",
    }


def test_links_to_other_folders_are_followed_once(tmp_path: Path) -> None:
    source, disk = tmp_path / "in", tmp_path / "disk"
    source.mkdir()
    (disk / "deep").mkdir(parents=True)
    (disk / "deep" / "one").touch()
    (disk / "up").symlink_to("..")  # leads around the source
    (disk / "round").symlink_to(".")
    for name, target in (("a", disk), ("b", disk), ("c", disk / "deep")):
        (source / name).symlink_to(target)
    assert outcomes(source) == {"a/deep/one": "", "a/round": "link", "a/up": "link", "b": "link", "c": "link"}
    assert outcomes(source / "a") == {"deep/one": "", "round": "link", "up": "link"}


def test_stores_are_passed_over(tmp_path: Path) -> None:
    make_store(tmp_path / "in" / "old", 2, 1)
    make_store(tmp_path / "in" / "new", 2, 1)
    for name in ("old.salt", "old.refused.csv", "other.salt", "future.salt", "file"):
        (tmp_path / "in" / name).touch()
    (tmp_path / "in" / ".old.mammogan.old").mkdir()
    assert outcomes(tmp_path / "in", skip=(tmp_path / "in" / "future",)) == {"file": "", "other.salt": ""}
    assert len(outcomes(tmp_path / "in" / "old")) > 3  # asked for, it is a folder like any other


def test_deep_folders_and_long_paths_do_not_end_the_walk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Folders are made from within: the paths become longer than the system takes.
    monkeypatch.chdir(tmp_path)
    for name, depth in (("d", 700), ("d" * 200, 20)):
        os.mkdir(f"start{len(name)}")
        os.chdir(f"start{len(name)}")
        for _ in range(depth):
            os.mkdir(name)
            os.chdir(name)
        Path("file").touch()
        os.chdir(tmp_path)
    reasons = list(outcomes(tmp_path).values())
    assert reasons == ["", "unreadable"]
    (short,) = walk([tmp_path])
    assert short.name == "file" and len(short.parts) > 700
