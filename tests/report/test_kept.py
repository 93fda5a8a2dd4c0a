"""Files that an earlier run kept: whatever is wrong with one, one sentence names it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from mammogan.errors import InputError, MammoganError
from mammogan.report import kept
from mammogan.report.copies import read_section
from mammogan.report.future import kept_facts, kept_tables
from mammogan.report.ingest import STATED
from mammogan.report.inspection import read_tables
from mammogan.report.labels import observed
from mammogan.report.provenance import ROOT
from mammogan.report.results import Results
from mammogan.report.training import images_trained_on, read_log

REFERENCE = ROOT / "reference" / "cdd-cesm"
SECTIONS = ("texture", "features", "memorization", "pruned")


def read_run(folder: Path) -> None:
    images_trained_on(None, None, str(folder / "run"))  # type: ignore[arg-type]
    read_log(folder / "run")


def read_future(folder: Path) -> None:
    kept_tables(folder / "future")
    kept_facts(folder / "future")


def read_sections(folder: Path) -> None:
    for name in SECTIONS:
        read_section(folder / "alignment", name)
    plt.close("all")


READERS = {  # of each part of a reference, as the chapters read it
    "provenance.json": lambda folder: kept.facts(folder / "provenance.json", *STATED),
    "run": read_run,
    "artifacts": lambda folder: read_tables(folder / "artifacts"),
    "alignment": read_sections,
    "future": read_future,
    "labels": lambda folder: observed(Results(folder / "out", "artifacts"), str(folder / "labels"), 0),
}


def read_files() -> list[str]:
    """Return the files that `READERS` read."""
    names = ["provenance.json", "run/stats.jsonl", "run/timing.jsonl", "labels/key.csv", "labels/labels-model.csv"]
    names += ["labels/candidates.csv", "labels/pairs.csv", "future/utility/results.json"]
    for pattern in ("alignment/*.json", "alignment/*.csv", "artifacts/*.csv", "future/*/data/*.csv"):
        names += [path.relative_to(REFERENCE).as_posix() for path in sorted(REFERENCE.glob(pattern))]
    return names


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def foreign(path: Path) -> None:
    path.write_bytes(bytes(range(128, 256)) * 9)


def other(path: Path) -> None:
    path.write_text("[1, 2]\n")


def renamed(path: Path) -> None:
    """Give each key, or column, another name."""
    if path.suffix == ".csv":
        table = pd.read_csv(path)
        table.rename(columns=lambda name: f"x{name}").to_csv(path, index=False)
    else:
        lines = path.read_text().splitlines() if path.suffix == ".jsonl" else [path.read_text()]
        changed = ({f"x{name}": value for name, value in json.loads(line).items()} for line in lines)
        path.write_text("\n".join(map(json.dumps, changed)))


# What each damage may leave readable: the first half of a table is one, and what a report does not say is left out.
HARMLESS = {
    cut: {".csv"},
    other: {"run/timing.jsonl"},
    renamed: {"future/utility/results.json"},
}


@pytest.fixture
def copy(tmp_path: Path) -> Iterator[Path]:
    for name in read_files():
        (tmp_path / "kept" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(REFERENCE / name, tmp_path / "kept" / name)
    yield tmp_path / "kept"


@pytest.mark.slow
@pytest.mark.parametrize("damage", [cut, empty, foreign, other, renamed])
def test_a_damaged_file_is_named_in_one_sentence(copy: Path, damage: Callable[[Path], None]) -> None:
    for read in READERS.values():
        read(copy)
    for name in read_files():
        part = Path(name).parts[0]
        whole = (copy / name).read_bytes()
        damage(copy / name)
        try:
            READERS[part](copy)
            harmless = HARMLESS.get(damage, set())
            assert name in harmless or Path(name).suffix in harmless or part == "alignment", (damage, name)
        except MammoganError as error:
            # Labels of images that a damaged key lacks are those of another inspection.
            named = {Path(name).name, "labels-model.csv"} if part == "labels" else {Path(name).name}
            assert any(each in str(error) for each in named), (damage, name, error)
            assert "\n" not in str(error) and str(error).endswith(".")
        (copy / name).write_bytes(whole)


def test_a_file_that_is_missing_or_lacks_a_name_is_named(tmp_path: Path) -> None:
    path = tmp_path / "facts.json"
    with pytest.raises(InputError, match=r"There is no .*facts\.json; restore the file"):
        kept.facts(path)
    path.write_text('{"a": 1}')
    assert kept.facts(path, "a") == {"a": 1}
    with pytest.raises(InputError, match=r"facts\.json has no 'b'; restore"):
        kept.facts(path, "a", "b")
    path.write_text('{"a": ')
    with pytest.raises(InputError, match=r"facts\.json cannot be read \(Expecting value.*\); restore"):
        kept.facts(path)


def test_a_table_has_its_columns_with_numbers(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("n,name\n1,2\n")
    assert kept.table(path, ["n"], ["name"]).to_dict("records") == [{"n": 1, "name": "2"}]
    with pytest.raises(InputError, match=r"table\.csv has no 'm'"):
        kept.table(path, ["m"])
    path.write_text("n\none\n")
    with pytest.raises(InputError, match=r"table\.csv cannot be read \(Unable to parse string 'one'"):
        kept.table(path, ["n"])
