"""The badge of staleness: what it counts as changed."""

from __future__ import annotations

from pathlib import Path

import nbformat
import origin
import pytest

from mammogan.pipeline import Pipeline
from mammogan.report import provenance


@pytest.fixture
def checkout(tmp_path: Path) -> tuple[Path, dict]:
    """A checkout of two stages, the second resting on the first, and the records of their run."""
    (tmp_path / "mammogan").mkdir()
    (tmp_path / "notebooks").mkdir()
    records = {}
    for stage, module in (("01_one", "a"), ("02_two", "b")):
        (tmp_path / "mammogan" / f"{module}.py").write_text("x = 1\n")
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1")])
        nbformat.write(notebook, tmp_path / "notebooks" / f"{stage}.ipynb")
        records[stage] = {
            "profile": "smoke", "parameters": {},
            "stage": stage, "commit": "c" * 40, "needs": ["01_one"] if stage == "02_two" else [],
            "modules": {f"mammogan/{module}.py": provenance.file_hash(tmp_path / "mammogan" / f"{module}.py")},
            "notebook": provenance.notebook_hash(tmp_path / "notebooks" / f"{stage}.ipynb"),
        }  # fmt: skip
    return tmp_path, records


def test_the_badge_is_right_both_ways(checkout: tuple[Path, dict]) -> None:
    root, records = checkout
    both = ["01_one", "02_two"]
    assert origin.stale(both, records, root) == {}
    assert 'data-stale="current"' in origin.badge(["02_two"], records, root)
    assert "the 4 files" in origin.badge(["02_two"], records, root)

    module = root / "mammogan" / "b.py"
    module.write_text("x = 2\n")
    assert origin.stale(both, records, root) == {"02_two": ["mammogan/b.py"]}
    assert 'data-stale="current"' in origin.badge(["01_one"], records, root)
    badge = origin.badge(["02_two"], records, root)
    assert 'data-stale="stale"' in badge
    assert "<code>mammogan/b.py</code> <strong>changed</strong>" in badge
    assert "<code>mammogan/a.py</code> unchanged" in badge
    module.write_text("x = 1\n")
    assert origin.stale(both, records, root) == {}

    # What a stage rests on counts; so does a module that is gone, and a cell; an output does not.
    (root / "mammogan" / "a.py").unlink()
    assert origin.stale(["02_two"], records, root) == {"01_one": ["mammogan/a.py"]}
    (root / "mammogan" / "a.py").write_text("x = 1\n")
    path = root / "notebooks" / "01_one.ipynb"
    content = nbformat.read(path, 4)
    content.cells[0].outputs = [nbformat.v4.new_output("stream", text="1")]
    nbformat.write(content, path)
    assert origin.stale(both, records, root) == {}
    content.cells[0].source = "2"
    nbformat.write(content, path)
    assert origin.stale(both, records, root) == {"01_one": ["notebooks/01_one.ipynb"]}
    del records["01_one"]["modules"]
    assert origin.stale(["02_two"], records, root) is None
    assert 'data-stale="unknown"' in origin.badge(["02_two"], records, root)


def test_a_book_that_shows_people_says_so_in_red(checkout: tuple[Path, dict]) -> None:
    facts = {"date": "2026-01-02T03:04:05", "seconds": 60.0, "data": "D", "device": "CPU", "dirty": False}
    records = {name: record | facts | {"profile": "reference", "data_hash": ""} for name, record in checkout[1].items()}
    assert origin.banner(records) == ""
    line = origin.badge(["02_two"], records, checkout[0])
    assert "Data: D" in line and "2.0 minutes to compute on CPU" in line and "are unchanged" in line
    assert origin.badge([], records, checkout[0]).startswith('<p class="run-line">Data: D')
    records["02_two"]["parameters"] = {"show_real": "runs/x/store"}
    assert "run-banner-real" in origin.banner(records) and "CONFIDENTIAL" in origin.banner(records)


def test_the_badge_of_this_checkout_names_all_modules_of_a_stage() -> None:
    modules = provenance.modules(Pipeline().code("04_moment_alignment"))
    assert {
        "mammogan/metrics/information.py",
        "mammogan/metrics/moments.py",
        "mammogan/report/results.py",
    } <= modules.keys()
    assert not any(name.startswith("mammogan/pipeline") for name in modules)
