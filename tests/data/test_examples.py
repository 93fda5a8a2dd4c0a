"""The list of refused files names them safely and replaces nothing of the user's."""

from __future__ import annotations

import csv
import os
from collections import Counter
from pathlib import Path

import pytest

from mammogan.data.examples import readable, refused_path, write_examples
from mammogan.errors import OutputError


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a b/ü.dcm", "a b/ü.dcm"),
        ("=HYPERLINK(1)", "./=HYPERLINK(1)"),
        ("+1", "./+1"),
        ("-rf", "./-rf"),
        ("@SUM(A1)", "./@SUM(A1)"),
        ("two\nlines\t.dcm", "two\\nlines\\t.dcm"),
        ("\x1b[31mred", "\\x1b[31mred"),
        (os.fsdecode(b"M\xfcller"), "M\\xfcller"),
    ],
)
def test_a_name_is_no_formula_and_moves_no_cursor(name: str, text: str) -> None:
    assert readable(Path(name)) == text


def test_only_a_list_of_this_command_is_replaced(tmp_path: Path) -> None:
    path = refused_path(tmp_path / "store")
    for _ in range(2):
        write_examples(path, Counter({"hidden": 2}), {"hidden": ["=a", "b,c"]})
        with path.open(newline="", encoding="utf-8") as file:
            assert list(csv.reader(file)) == [
                ["reason", "files", "file"],
                ["hidden", "2", "=a"],
                ["hidden", "2", "b,c"],
            ]
        assert path.stat().st_mode & 0o777 == 0o600
    path.write_text("my own list")
    (tmp_path / "link").symlink_to(path)
    for wrong in (path, tmp_path / "link", tmp_path):
        with pytest.raises(OutputError):
            write_examples(wrong, Counter(), {})
    assert path.read_text() == "my own list" and (tmp_path / "link").is_symlink()


def test_a_store_in_the_present_folder_has_its_list_next_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "store").mkdir()
    monkeypatch.chdir(tmp_path / "store")
    assert refused_path(Path(".")) == tmp_path / "store.refused.csv"
    assert refused_path(Path("..")) == tmp_path.with_name(f"{tmp_path.name}.refused.csv")
    assert refused_path(Path("../other")) == Path("../other.refused.csv")
    with pytest.raises(OutputError, match="root of the file system"):
        refused_path(Path("/"))
