"""The runner on a small pipeline of its own: which stages run, what a failure leaves, and the book of their results."""

from __future__ import annotations

import json
import shutil
import textwrap
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import nbformat
import papermill
import pytest
import yaml
from book_fixtures import whole_book
from dicom_files import HEADER

from mammogan.data.dicom_writer import Identity, write
from mammogan.data.phantom.render import render
from mammogan.data.store import quantize
from mammogan.errors import OutputError, ParameterError, PipelineError
from mammogan.pipeline import Pipeline, book, check_parameters
from mammogan.pipeline.book import build_book, print_book
from mammogan.pipeline.running import _lock, run
from mammogan.report.provenance import ROOT

FIRST = """
from pathlib import Path
from mammogan.report.results import Results
results = Results(out, "preprocessing")
results.value("n", n)
results.save()
"""
SECOND = """
import json
from mammogan.report.results import Results
before = json.load(open(store + "/results.json"))["preprocessing.n"]["value"]
results = Results(out, "training")
results.value("twice", 2 * before)
results.save();
"""


def notebook(path: Path, parameters: str, code: str) -> None:
    made = nbformat.v4.new_notebook(
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    )
    made.cells = [
        nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell(code),
    ]
    nbformat.write(made, path)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A checkout of two stages."""
    (tmp_path / "notebooks").mkdir()
    stages = {
        "01_one": {"parameters": {"source": "{data}"}, "makes": []},
        "02_two": {"parameters": {"store": "{01_one}"}, "makes": []},
    }
    profiles = {"smoke": {}, "large": {"01_one": {"n": 9}}, "typo": {"01_one": {"m": 9}}, "stray": {"03": {}}}
    profiles["alone"] = {"02_two": {"store": ""}}
    shows = {"01_one": {"n": 5}, "02_two": {"store": "{01_one}"}}
    content = {"stages": stages, "profiles": profiles, "show_real": shows}
    (tmp_path / "pipeline.yaml").write_text(yaml.safe_dump(content))
    notebook(tmp_path / "notebooks" / "01_one.ipynb", 'source: str = ""\nout: str = ""\nn: int = 4', FIRST)
    notebook(tmp_path / "notebooks" / "02_two.ipynb", 'store: str = ""\nout: str = ""', SECOND)
    return tmp_path


def value(root: Path, build: str, stage: str, key: str) -> float:
    return json.loads((root / "runs" / build / stage / "results.json").read_text())[key]["value"]


@pytest.mark.slow
def test_runs_once_and_again_only_where_something_changed(root: Path) -> None:
    pipeline = Pipeline(root=root)
    lines: list[str] = []
    assert set(run(pipeline, echo=lines.append)) == {"01_one", "02_two"}
    assert value(root, "smoke", "02_two", "training.twice") == 8
    record = json.loads((root / "runs/smoke/02_two/provenance.json").read_text())
    assert {"commit", "parameters", "versions", "device", "seconds", "date", "data", "profile"} <= record.keys()
    assert run(Pipeline(root=root), echo=lines.append) == {}

    notebook(root / "notebooks" / "02_two.ipynb", 'store: str = ""\nout: str = ""', SECOND.replace("2 *", "3 *"))
    assert Pipeline(root=root).plan() == {"01_one": "", "02_two": "changed: the notebook"}
    assert set(run(Pipeline(root=root), echo=lines.append)) == {"02_two"}
    assert value(root, "smoke", "02_two", "training.twice") == 12

    (root / "runs/smoke/01_one/results.json").unlink()
    assert Pipeline(root=root).why("01_one") == "missing: results.json"
    assert set(run(Pipeline(root=root), only="01", force=True, echo=lines.append)) == {"01_one"}


def test_a_folder_that_the_runner_did_not_make_is_not_deleted(root: Path, tmp_path: Path) -> None:
    results, data = root / "runs/smoke/01_one", tmp_path / "data"
    data.mkdir()
    (data / "a.dcm").write_bytes(b"x")
    results.mkdir(parents=True)
    (results / "diary.txt").write_text("mine")
    for force in (False, True):
        with pytest.raises(OutputError, match=r"is not results of a stage.*move it away"):
            run(Pipeline(root=root), only="01", force=force, echo=lambda _: None)
    shutil.move(results, tmp_path / "precious")
    results.symlink_to(tmp_path / "precious")
    with pytest.raises(OutputError, match="is a link"):
        run(Pipeline(root=root), only="01", force=True, echo=lambda _: None)
    assert (tmp_path / "precious" / "diary.txt").read_text() == "mine"
    (root / "runs/smoke-data/data").mkdir(parents=True)
    with pytest.raises(PipelineError, match="is not a link"):
        run(Pipeline(data=data, root=root), only="01", echo=lambda _: None)


@pytest.mark.slow
def test_profiles_have_folders_of_their_own(root: Path, tmp_path: Path) -> None:
    run(Pipeline(root=root), echo=lambda _: None)
    run(Pipeline("large", root=root), echo=lambda _: None)
    assert value(root, "smoke", "01_one", "preprocessing.n") == 4
    assert value(root, "large", "01_one", "preprocessing.n") == 9
    data = tmp_path / "My Archive"
    data.mkdir()
    (data / "a.dcm").write_bytes(b"x")
    assert Pipeline("large", data, root).name == "large-my-archive"


def test_images_of_people_are_shown_in_a_build_of_its_own_and_only_on_request(root: Path, tmp_path: Path) -> None:
    data = tmp_path / "archive"
    data.mkdir()
    (data / "a.dcm").write_bytes(b"a")
    hidden, showing = Pipeline("alone", data, root), Pipeline("alone", data, root, show_real=True)
    assert "n" not in hidden.parameters("01_one") and showing.parameters("01_one")["n"] == 5
    assert showing.needs("02_two") == ["01_one"] and not hidden.needs("02_two")
    # No other build has these folders, whatever the data are called.
    (tmp_path / "archive SHOWS PEOPLE").mkdir()
    (tmp_path / "archive SHOWS PEOPLE" / "a.dcm").write_bytes(b"a")
    names = {hidden.name, Pipeline("alone", tmp_path / "archive SHOWS PEOPLE", root).name, "alone"}
    assert showing.name.endswith("_SHOWS_PEOPLE") and showing.name not in names
    assert showing.folder("01_one").is_relative_to(root / "runs" / showing.name)
    with pytest.raises(PipelineError, match="give DATA a folder of images that you may see"):
        Pipeline("alone", root=root, show_real=True)


def test_every_chapter_with_images_can_show_those_of_people(tmp_path: Path) -> None:
    (tmp_path / "a.dcm").write_bytes(b"a")
    for profile in ("smoke", "reference"):
        pipeline = Pipeline(profile, tmp_path, show_real=True)
        for name in list(pipeline.stages)[:4]:
            pipeline.check_parameters(name)
            assert pipeline.parameters(name)["show_real"]
            assert not pipeline._defaults(name)["show_real"]


def image_cell(**metadata: object) -> nbformat.NotebookNode:
    picture = nbformat.v4.new_output("display_data", {"image/png": "", "text/plain": ""})
    return nbformat.v4.new_code_cell("1", outputs=[picture], metadata=metadata)


def test_published_notebooks_have_no_parameters_and_no_captions_of_missing_figures(tmp_path: Path) -> None:
    figure = {"figure": {"name": "fig-a", "caption": "a"}}
    made = nbformat.v4.new_notebook(cells=[image_cell(mystnb=figure), image_cell(mystnb=figure)])
    made.cells[1].outputs = [nbformat.v4.new_output("display_data", {"text/markdown": "not shown"})]
    made.cells += [nbformat.v4.new_code_cell("n = 1", metadata={"tags": [tag]}) for tag in ("parameters", "x")]
    nbformat.write(made, tmp_path / "a.ipynb")
    cells = nbformat.reads(book.published(tmp_path / "a.ipynb"), 4).cells
    assert [list(cell.metadata.get("mystnb", {})) for cell in cells[:2]] == [["figure"], []]
    assert [cell.metadata.tags for cell in cells[2:]] == [["parameters", "remove-cell"], ["x"]]


@pytest.mark.slow
@pytest.mark.parametrize("show_real", [False, True])
def test_the_first_chapter_shows_images_of_people_on_request_only(tmp_path: Path, show_real: bool) -> None:
    (tmp_path / "archive").mkdir()
    for number in range(4):
        pixels = quantize(render(number, 2, "MLO", "L", height=320, width=256).shown, 12)
        write(
            tmp_path / "archive" / f"{number}.dcm", pixels, replace(HEADER, identity=Identity("k", "s", f"P{number}"))
        )
    papermill.execute_notebook(
        str(ROOT / "notebooks" / "01_preprocessing.ipynb"),
        str(tmp_path / "notebook.ipynb"),
        parameters={"source": str(tmp_path / "archive"), "out": str(tmp_path / "out"), "show_real": show_real},
        kernel_name="python3",
        progress_bar=False,
        cwd=str(tmp_path),
    )
    figures = {path.name for path in (tmp_path / "out" / "figures").iterdir()}
    assert ({"display.png", "sheet.png"} <= figures) == show_real
    outputs = [
        output for cell in nbformat.read(tmp_path / "notebook.ipynb", 4).cells for output in cell.get("outputs", [])
    ]
    pictures = sum("image/png" in output.get("data", {}) for output in outputs)
    assert pictures == (3 if show_real else 1)  # the chart of windows shows no image
    assert ("are not shown here" in str(outputs)) != show_real


@pytest.mark.slow
def test_a_change_in_the_data_folder_is_seen(root: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "a.dcm").write_bytes(b"x")
    run(Pipeline(data=data, root=root), echo=lambda _: None)
    assert not Pipeline(data=data, root=root).why("01_one")
    (data / "b.dcm").write_bytes(b"x")
    assert "the data folder" in Pipeline(data=data, root=root).why("01_one")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "DeadKernelError"),
        ("pass", "did not write results.json"),
    ],
)
def test_a_failure_keeps_the_notebook_aside_and_the_rest_as_it_was(root: Path, code: str, sentence: str) -> None:
    run(Pipeline(root=root), echo=lambda _: None)
    good = (root / "runs/smoke/01_one/notebook.ipynb").read_bytes()
    notebook(root / "notebooks" / "02_two.ipynb", 'store: str = ""\nout: str = ""', code)
    with pytest.raises(PipelineError, match=sentence) as error:
        run(Pipeline(root=root), echo=lambda _: None)
    assert "02_two failed" in str(error.value)
    assert "\n" not in str(error.value)
    assert (root / "runs/smoke/failed/02_two.ipynb").is_file()
    assert (root / "runs/smoke/01_one/notebook.ipynb").read_bytes() == good
    assert Pipeline(root=root).why("02_two")
    with pytest.raises(PipelineError, match="must run before the book is built"):
        build_book(Pipeline(root=root))


def test_a_stage_needs_what_its_parameters_name(root: Path) -> None:
    assert Pipeline(root=root).needs("02_two") == ["01_one"]
    assert Pipeline("alone", root=root).needs("02_two") == []
    assert Pipeline("alone", root=root).chosen("02") == ["02_two"]
    assert "the stage 01_one" not in Pipeline("alone", root=root).key("02_two")


@pytest.mark.slow
def test_stages_that_do_not_need_each_other_run_together(root: Path) -> None:
    """Each waits for a file that the other writes."""
    meet = """
    from pathlib import Path
    import time
    from mammogan.report.results import Results
    Results(out, "training").save()
    (Path(out) / "here").touch()
    end = time.monotonic() + 30
    while not (Path(out).parent / other / "here").exists():
        assert time.monotonic() < end
        time.sleep(0.05)
    """
    code = textwrap.dedent(meet)
    notebook(root / "notebooks/01_one.ipynb", 'source = ""\nout = ""\nn = 1\nother = "02_two"', code)
    notebook(root / "notebooks/02_two.ipynb", 'store = ""\nout = ""\nother = "01_one"', code)
    assert set(run(Pipeline("alone", root=root), echo=lambda _: None)) == {"01_one", "02_two"}


@pytest.mark.slow
def test_what_runs_beside_a_failure_is_finished(root: Path) -> None:
    notebook(root / "notebooks/01_one.ipynb", 'source = ""\nout = ""\nn = 1', "1 / 0")
    late = 'import time\nfrom mammogan.report.results import Results\ntime.sleep(3)\nResults(out, "training").save();'
    notebook(root / "notebooks/02_two.ipynb", 'store = ""\nout = ""', late)
    pipeline = Pipeline("alone", root=root)
    with pytest.raises(PipelineError, match="01_one failed"):
        run(pipeline, echo=lambda _: None)
    assert not pipeline.why("02_two")


def test_wrong_names_are_refused_before_anything_runs(root: Path, tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="no profile 'smok'; the profiles are alone, large, smoke"):
        Pipeline("smok", root=root)
    with pytest.raises(PipelineError, match="no parameter 'm'"):
        run(Pipeline("typo", root=root))
    with pytest.raises(PipelineError, match="is not a stage"):
        Pipeline("stray", root=root)
    with pytest.raises(PipelineError, match="names 0 stages"):
        run(Pipeline(root=root), only="07")
    with pytest.raises(PipelineError, match="does not exist"):
        Pipeline(data=tmp_path / "nothing", root=root)
    (tmp_path / "empty").mkdir()
    with pytest.raises(PipelineError, match="is empty"):
        Pipeline(data=tmp_path / "empty", root=root)
    assert not (root / "runs").exists()


def test_two_runs_at_once_are_refused(root: Path) -> None:
    first = Pipeline(root=root)
    with _lock(first), pytest.raises(PipelineError, match="under way"):
        run(Pipeline(root=root))


def test_notebooks_of_the_book_are_clean_and_match_the_pipeline() -> None:
    pipeline = Pipeline()
    for name in pipeline.stages:
        pipeline.check_parameters(name)
        content = nbformat.read(pipeline.notebook(name), 4)
        code = [cell for cell in content.cells if cell.cell_type == "code"]
        assert sum("parameters" in cell.metadata.get("tags", []) for cell in code) == 1
        assert not any(cell.outputs or cell.execution_count for cell in code)
        assert all(len(cell.source.splitlines()) <= 40 for cell in code)
        assert content.metadata.kernelspec.name == "python3"
    for profile in yaml.safe_load((ROOT / "pipeline.yaml").read_text())["profiles"]:
        for name in pipeline.stages:
            Pipeline(profile).check_parameters(name)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stage", "wrong", "sentence"),
    [
        ("01_preprocessing", {"count": 2.0}, "count is 2.0; give one of the type int"),
        ("01_preprocessing", {"laterality": "up"}, "keep or left"),
        ("01_preprocessing", {"height": 500}, "halve only down"),
        ("02_progressive_training", {"settings": "levels=2 micro"}, "NAME=VALUE"),
        ("03_artifact_inspection", {"labels": None}, "labels is None"),
        ("04_moment_alignment", {"scenarios": 2}, "scenarios is 2; give 3 or more"),
        ("05_reader_statistics", {"simulations": 1e3}, "simulations is 1000.0; give one of the type int"),
    ],
)
def test_a_wrong_parameter_ends_a_notebook_in_its_first_cell(
    tmp_path: Path, stage: str, wrong: dict[str, object], sentence: str
) -> None:
    path = tmp_path / "notebook.ipynb"
    with pytest.raises(papermill.PapermillExecutionError, match=sentence):
        papermill.execute_notebook(
            str(ROOT / "notebooks" / f"{stage}.ipynb"),
            str(path),
            parameters={**wrong, "out": str(tmp_path / "out")},
            kernel_name="python3",
            progress_bar=False,
            cwd=str(tmp_path),
        )
    cells = [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
    (given,) = (n for n, cell in enumerate(cells) if "injected-parameters" in cell.metadata.get("tags", []))
    assert [cell.execution_count is None for cell in cells[given + 1 : given + 4]] == [False, True, True]


def test_parameters_are_compared_with_their_annotations() -> None:
    notebook = ModuleType("notebook")
    exec('a: int = 1\nb: float = 0.5\nc: str = ""\nd: bool = True\nfree = None', notebook.__dict__)
    check_parameters(notebook, a=1, b=0.5)
    notebook.b = 1
    check_parameters(notebook)
    for name, value in (("a", 1.0), ("a", True), ("b", "1"), ("c", 3), ("d", 1), ("b", float("nan"))):
        before = getattr(notebook, name)
        setattr(notebook, name, value)
        with pytest.raises(ParameterError, match=f"The parameter {name} is "):
            check_parameters(notebook, b=0)
        setattr(notebook, name, before)


@pytest.fixture
def finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a checkout whose stages have results: those of fixtures."""
    whole_book(tmp_path)
    for name in ("pipeline.yaml", "notebooks", "benchmarks"):
        (tmp_path / name).symlink_to(ROOT / name)
    executed = tmp_path / "book" / "executed"
    for notebook in executed.glob("*.ipynb"):
        (tmp_path / "runs" / "smoke").mkdir(parents=True, exist_ok=True)
        (executed / notebook.stem).rename(tmp_path / "runs" / "smoke" / notebook.stem)
        notebook.rename(tmp_path / "runs" / "smoke" / notebook.stem / "notebook.ipynb")
    monkeypatch.setattr(Pipeline, "why", lambda self, stage: "")
    monkeypatch.setattr(book, "write_demo", lambda *arguments: arguments[2].mkdir())
    return tmp_path


@pytest.mark.slow
def test_a_book_is_built_once_and_kept_where_a_build_fails(finished: Path) -> None:
    lines: list[str] = []
    page = build_book(Pipeline(root=finished), lines.append)
    assert page == finished / "_build" / "smoke" / "html" / "index.html"
    assert (page.parent / "reader_study").is_dir()
    assert (finished / "book" / "executed" / "01_preprocessing.ipynb").is_file()
    assert len(lines) == 1
    assert build_book(Pipeline(root=finished), lines.append) == page
    assert len(lines) == 1  # nothing changed
    before = page.read_bytes()
    (finished / "book" / "limits.md").write_text("# Limits\n\n{val}`training.nothing`\n")
    with pytest.raises(PipelineError, match=r"was not built: .*there is no result 'training.nothing'.*html.log"):
        build_book(Pipeline(root=finished), lines.append)
    assert page.read_bytes() == before


@pytest.mark.slow
def test_the_book_is_printed(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(book.shutil, "which", lambda name: None)
        with pytest.raises(PipelineError, match="None of chromium"):
            print_book(Pipeline(root=finished))
    if not any(map(shutil.which, book.BROWSERS)):
        pytest.skip("Chromium is not installed")
    pdf = print_book(Pipeline(root=finished))
    assert pdf.name == "mammogan-smoke.pdf"
    assert pdf.read_bytes().startswith(b"%PDF")
