"""Whole files and folders: the old content or the new, never a part; one sentence where nothing can be written."""

from __future__ import annotations

import errno
import json
import re
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from mammogan import atomic
from mammogan.errors import OutputError


class Killed(BaseException):
    """As a signal ends a block."""


def listing(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    atomic.write_text(path, "old")
    with atomic.replacing_text(path) as file:
        file.write("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert listing(tmp_path) == {"a.txt"}


@pytest.mark.parametrize("error", [Killed(), ValueError(), KeyboardInterrupt()])
def test_a_block_that_fails_leaves_the_old_content(tmp_path: Path, error: BaseException) -> None:
    path, folder = tmp_path / "a.txt", tmp_path / "folder"
    path.write_text("old")
    folder.mkdir()
    (folder / "kept").touch()
    with pytest.raises(type(error)), atomic.replacing(path) as aside:
        aside.write_text("part")
        raise error
    with pytest.raises(type(error)), atomic.replacing_folder(folder) as aside:
        (aside / "part").touch()
        raise error
    assert path.read_text() == "old"
    assert listing(tmp_path) == {"a.txt", "folder", "folder/kept"}


def test_json_is_finite_and_ends_with_a_line(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    atomic.write_json(path, {"n": 1})
    assert json.loads(path.read_text()) == {"n": 1}
    assert path.read_bytes().endswith(b"}\n")
    with pytest.raises(ValueError, match="JSON compliant"):
        atomic.write_json(path, {"n": float("nan")})
    assert json.loads(path.read_text()) == {"n": 1}


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    folder = tmp_path / "above" / "folder"
    for name in ("one", "two"):
        with atomic.replacing_folder(folder) as aside:
            (aside / name).touch()
        assert listing(folder) == {name}
    assert listing(tmp_path / "above") == {"folder", "folder/two"}


def test_a_folder_is_repaired_after_a_kill_between_two_renames(tmp_path: Path) -> None:
    """The old folder was moved away, the new one not yet in its place."""
    folder, old = tmp_path / "folder", tmp_path / ".folder.mammogan.old"
    old.mkdir()
    (old / "kept").touch()
    (tmp_path / ".folder.aside").mkdir()
    with pytest.raises(Killed), atomic.replacing_folder(folder):
        assert listing(folder) == {"kept"}
        raise Killed
    assert listing(tmp_path) == {"folder", "folder/kept"}


def test_what_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    below = tmp_path / "file" / "x"
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"file/x cannot be written \(Not a directory\)"):
        atomic.write_text(below, "x")
    with pytest.raises(OutputError, match="cannot be written"), atomic.replacing_folder(below):
        pass
    with pytest.raises(OutputError, match="cannot be written"):
        atomic.make_folder(below)
    here = next(folder for folder in (Path.cwd(), *Path.cwd().parents) if folder.is_mount())
    with (
        pytest.raises(OutputError, match=f"disk of a is full; free space in {here} and run the same command"),
        atomic.writing(Path("a")),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")
    for read in (tmp_path / "input", tmp_path / "other" / "output.txt"):
        with (
            pytest.raises(OutputError, match=re.escape(f"{read} cannot be read or written (No such file")),
            atomic.replacing_folder(tmp_path / "output"),
        ):
            read.read_text()
    with (
        pytest.raises(OutputError, match=r"output cannot be written \(No such file"),
        atomic.replacing_folder(tmp_path / "output") as made,
    ):
        (made / "none" / "file").write_text("x")
    with pytest.raises(ValueError, match="ours"), atomic.writing(Path("a")):
        raise ValueError("ours")


def test_a_full_disk_of_temporary_databases_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SQLITE_TMPDIR", "/scratch")
    database = sqlite3.connect("")
    database.execute("PRAGMA max_page_count = 2")
    database.execute("CREATE TABLE a (b)")
    with (
        pytest.raises(OutputError, match=r"disk of /scratch, .* is full; free space there"),
        atomic.temporary_databases(),
    ):
        database.execute("INSERT INTO a VALUES (zeroblob(100000))")
    with pytest.raises(sqlite3.OperationalError, match="no such table"), atomic.temporary_databases():
        database.execute("SELECT * FROM c")


KILLED = """
import os, signal, sys
from pathlib import Path
from mammogan.atomic import replacing
with replacing(Path(sys.argv[1])) as aside:
    aside.write_text("part")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_process_leaves_the_old_content_and_the_next_one_succeeds(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    assert subprocess.run([sys.executable, "-c", KILLED, str(path)]).returncode == -signal.SIGKILL
    assert path.read_text() == "old"
    atomic.write_text(path, "new")
    assert path.read_text() == "new"
    assert listing(tmp_path) == {"a.txt"}


MARKED = atomic.FolderKind("a folder of ours", "mark", lambda content: content == "ours", r"mark|\d+")


def make_marked(folder: Path, content: str = "ours") -> Path:
    folder.mkdir()
    (folder / "mark").write_text(content)
    (folder / "1").touch()
    return folder


def test_only_a_folder_of_the_kind_is_replaceable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, others = make_marked(tmp_path / "ours"), make_marked(tmp_path / "others", "theirs")
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(ours)
    (tmp_path / "empty").mkdir()
    for good in (ours, tmp_path / "empty", tmp_path / "empty" / ".." / "ours"):
        atomic.check_replaceable(good, [MARKED], [others, tmp_path / "missing"])
    for wrong, inputs, sentence in (
        (others, [], "is not a folder of ours"),
        (tmp_path / "file", [], "it is a file"),
        (tmp_path / "link", [], "is a link"),
        (ours, [ours], "is also an input"),
        (ours, [tmp_path / "link"], "is also an input"),
        (ours, [ours / "1"], "holds the input"),
        (ours, [tmp_path], "is within the input"),
        (tmp_path, [], "the folder in which you work or your home|is not a folder of ours"),
        (Path("/"), [], "the folder in which you work"),
    ):
        with pytest.raises(OutputError, match=sentence):
            atomic.check_replaceable(wrong, [MARKED], inputs)
    monkeypatch.chdir(ours)
    with pytest.raises(OutputError, match="the folder in which you work"):
        atomic.check_replaceable(ours, [MARKED])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(ours))
    with pytest.raises(OutputError, match="your home"):
        atomic.check_replaceable(ours, [MARKED])
    monkeypatch.undo()
    (ours / "diary.txt").touch()
    with pytest.raises(OutputError, match=r"diary.txt would be lost"):
        atomic.check_replaceable(ours, [MARKED])
    (ours / "diary.txt").rename(ours / ".DS_Store")
    atomic.check_replaceable(ours, [MARKED])


@pytest.mark.parametrize("error", [ValueError(), OutputError("full"), KeyboardInterrupt(), Killed()])
def test_a_renewed_folder_is_put_back_or_continued(tmp_path: Path, error: BaseException) -> None:
    folder = make_marked(tmp_path / "folder")
    with pytest.raises(type(error)), atomic.renewing_folder(folder, [MARKED], force=True):
        assert not folder.exists()
        raise error
    assert listing(folder) == {"mark", "1"}
    with pytest.raises(type(error)), atomic.renewing_folder(folder, [MARKED], force=True):
        make_marked(folder)
        (folder / "2").touch()
        raise error
    if isinstance(error, Exception):
        assert listing(tmp_path) == {"folder", "folder/mark", "folder/1"}
        return
    # Interrupted: the new folder is continued by the same command, and the old one is deleted at its end.
    assert listing(folder) == {"mark", "1", "2"}
    assert listing(tmp_path / ".folder.mammogan.old") == {"mark", "1"}
    with atomic.renewing_folder(folder, [MARKED]):
        (folder / "3").touch()
    assert listing(tmp_path) == {"folder", "folder/mark", "folder/1", "folder/2", "folder/3"}


def test_a_renewed_folder_is_not_lost_by_two_kills(tmp_path: Path) -> None:
    folder = make_marked(tmp_path / "folder")
    (folder / "7").touch()
    for _ in range(2):
        with pytest.raises(Killed), atomic.renewing_folder(folder, [MARKED], force=True):
            make_marked(folder)
            raise Killed
    with pytest.raises(ValueError), atomic.renewing_folder(folder, [MARKED], force=True):
        raise ValueError
    assert listing(tmp_path) == {"folder", "folder/mark", "folder/1", "folder/7"}


def test_of_a_link_to_an_empty_folder_the_folder_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    with atomic.replacing_folder(tmp_path / "link") as aside:
        (aside / "one").touch()
    assert (tmp_path / "link").is_symlink()
    assert listing(tmp_path / "disk") == {"one"}


def test_a_file_that_another_process_locked_is_refused_with_the_given_error(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("w") as first, (tmp_path / "lock").open("w") as second:
        atomic.lock(first, OutputError("busy"))
        with pytest.raises(OutputError, match="busy"):
            atomic.lock(second, OutputError("busy"))
    with (tmp_path / "lock").open("w") as third:
        atomic.lock(third, OutputError("busy"))


def test_a_file_system_without_locks_is_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_locks(file: object, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(atomic.fcntl, "flock", no_locks)
    with (tmp_path / "lock").open("w") as file:
        atomic.lock(file, OutputError("Another process writes."))
    assert "has no locks (No locks available); this is not checked: Another process writes." in caplog.text
