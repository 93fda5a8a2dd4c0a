"""The book: roles and directives, what fails a build, the badge of staleness, its text, and what its pages hold."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from mammogan.metrics.moments import MOMENT_NAMES
from mammogan.report import provenance
from mammogan.report.provenance import ROOT

sys.path.insert(0, str(ROOT / "book" / "_ext"))
import listing
import mathematics
import origin
import pictures
import reproduced

STAGES = {stage: chapter for chapter, stage in reproduced.STAGES.items()}
ENTRY = {"label": "a number", "unit": "%", "format": ".1f", "how": "counted"}
COMPARED = {**ENTRY, "value": 12.34, "interval": [10.0, 15.0], "paper": 12.0, "tolerance": 0.5, "verdict": "reproduced"}
PLOTS = {"training": "growth", "alignment": "clouds"}


def moments() -> pd.DataFrame:
    """Two clouds of moments, as the alignment chapter writes them."""
    rng = np.random.default_rng(5)
    table = np.concatenate([rng.normal(0, 1, (300, 5)), rng.normal(0.7, 1.2, (300, 5))])
    found = pd.DataFrame(table, columns=list(MOMENT_NAMES))
    found.insert(0, "kind", ["real"] * 300 + ["synthetic"] * 300)
    return found


def figure_cell(chapter: str, name: str, label: str, picture: bytes, classes: str) -> nbformat.NotebookNode:
    import base64

    output = nbformat.v4.new_output("display_data", {"image/png": base64.b64encode(picture).decode(), "text/plain": ""})
    cell = nbformat.v4.new_code_cell(
        f'results.figure("{name}", style.spectra(a, b), data);', outputs=[output], execution_count=1
    )
    caption = f"Figure {label}. n = {{val}}`{chapter}.size` {{csv}}`{chapter}/{name}`"
    cell.metadata = {
        "mystnb": {"figure": {"name": label, "caption": caption}, "image": {"alt": "a ramp", "classes": classes}},
        "tags": ["hide-input"],
    }
    return cell


def ramp(path: Path) -> bytes:
    """A picture with every gray level."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.arange(256, dtype=np.uint8).reshape(1, 256).repeat(96, 0)).save(path)
    return path.read_bytes()


def stage_files(executed: Path, stage: str, profile: str = "smoke", keys: tuple[str, ...] = (), labels=()) -> None:
    """What the runner publishes of a stage: results, a figure whose caption quotes one, provenance with its modules."""
    chapter, folder = STAGES[stage], executed / stage
    (folder / "data").mkdir(parents=True)
    entries = {f"{chapter}.size": COMPARED, f"{chapter}.name": {**ENTRY, "value": "40 x 32", "unit": ""}}
    entries |= {key: COMPARED for key in keys if key.split(".")[0] == chapter}
    (folder / "results.json").write_text(json.dumps(entries))
    text = f"# Chapter {chapter}\n\nSize {{val}}`{chapter}.size` ({{val}}`{chapter}.size:interval`).\n\n"
    text += f"```{{compare}} {chapter}.size\n```\n"
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(text)])
    made.cells.append(nbformat.v4.new_code_cell("from mammogan.report import style", metadata={"tags": ["hide-input"]}))
    names = ["points", *(f"figure{k}" for k in range(len(labels)))]
    for number, (name, label) in enumerate(zip(names, [f"fig-{chapter}-first", *labels], strict=True)):
        picture = ramp(folder / "figures" / f"{name}.png")
        kind = PLOTS.get(chapter) if not number else "contours" if chapter == "alignment" and number == 1 else None
        made.cells.append(figure_cell(chapter, name, label, picture, "dark-light" + (f" plot-{kind}" if kind else "")))
        (moments() if chapter == "alignment" else pd.DataFrame({"a": [1], "b": [2]})).to_csv(
            folder / "data" / f"{name}.csv", index=False
        )
    if chapter == "training":
        frames = [{"label": f"{n} images", "file": f"{n}.png"} for n in (10, 20)]
        for frame in frames:
            ramp(folder / "figures" / "points" / frame["file"])
        (folder / "figures" / "points" / "frames.json").write_text(json.dumps(frames))
        (folder / "data" / "hyperparameters.csv").write_text("a,b,c,d,e\n1,2,3,4,5\n")
    made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(made, executed / f"{stage}.ipynb")
    files = [folder / "results.json", *(folder / "data").glob("*.csv")]
    record = {
        "stage": stage, "profile": profile, "data": "embedded phantoms", "commit": "0123456789abcdef", "dirty": False,
        "date": "2026-01-02T03:04:05+00:00", "device": "CPU", "seed": 0, "seconds": 60.0, "data_hash": "ff",
        "parameters": {"n": 4}, "versions": {"python": "3.11"}, "needs": [],
        "modules": {"mammogan/report/style.py": provenance.file_hash(ROOT / "mammogan" / "report" / "style.py")},
        "notebook": provenance.notebook_hash(ROOT / "notebooks" / f"{stage}.ipynb"),
        "files": {path.relative_to(folder).as_posix(): provenance.file_hash(path) for path in files},
    }  # fmt: skip
    (folder / "provenance.json").write_text(json.dumps(record))


def settings(folder: Path) -> Path:
    """The book's real settings and extension in a folder of its own."""
    if not (ROOT / "node_modules" / "mathjax").is_dir():
        pytest.skip("node_modules is missing: run make setup")
    shutil.copy(ROOT / "_config.yml", folder / "_config.yml")
    for name in ("_ext", "_static"):
        shutil.copytree(ROOT / "book" / name, folder / "book" / name)
    shutil.copy(ROOT / "book" / "references.bib", folder / "book" / "references.bib")
    (folder / "node_modules").symlink_to(ROOT / "node_modules")
    return folder


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A book of one page around chapters of fixtures."""
    settings(tmp_path)
    chapters = "".join(f"  - file: book/executed/{stage}\n" for stage in STAGES)
    (tmp_path / "_toc.yml").write_text(f"format: jb-book\nroot: book/index\nchapters:\n{chapters}")
    (tmp_path / "book" / "index.md").write_text(
        "# Start\n\n$x^2$ {val}`readers.size:paper` {val}`deviations.size` {cite:p}`karras2018`\n\n"
        "```{bibliography}\n```\n"
    )
    for stage in STAGES:
        stage_files(tmp_path / "book" / "executed", stage)
    return tmp_path


def whole_book(folder: Path) -> Path:
    """All pages of the book around chapters of fixtures that hold every result that the pages ask for."""
    settings(folder)
    for path in (ROOT / "book").iterdir():
        if path.suffix in (".md", ".yaml"):
            shutil.copy(path, folder / "book" / path.name)
    for name in ("api", "examples"):
        shutil.copytree(ROOT / "book" / name, folder / "book" / name)
    shutil.copy(ROOT / "_toc.yml", folder / "_toc.yml")
    text = "\n".join(path.read_text() for path in (folder / "book").rglob("*.*") if path.suffix in (".md", ".yaml"))
    keys = set(re.findall(r"\{val\}`([\w.-]+)", text)) | set(re.findall(r"\{compare\} (\S+)", text))
    keys |= {p for claim in yaml.safe_load((folder / "book" / "claims.yaml").read_text()) for p in claim["evidence"]}
    labels = re.findall(r"\{numref\}`(fig-[\w-]+)`", text)
    for stage in STAGES:
        chosen = tuple(sorted(key.replace("*", "x") for key in keys))
        mine = tuple(dict.fromkeys(labels)) if stage == "04_moment_alignment" else ()
        stage_files(folder / "book" / "executed", stage, keys=chosen, labels=mine or ())
    return folder


def build(source: Path, builder: str = "html") -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "build", str(source), "-W", "-n"]
    return subprocess.run(
        [*command, "--keep-going", "--builder", builder],
        capture_output=True,
        text=True,
        env={**os.environ, "NO_COLOR": "1", "PYTHONPATH": str(ROOT)},
    )


def page(source: Path, name: str) -> str:
    return (source / "_build" / "html" / f"{name}.html").read_text()


def test_numbers_tables_banner_and_data(source: Path) -> None:
    done = build(source)
    assert done.returncode == 0, done.stdout + done.stderr
    chapter = page(source, "book/executed/05_reader_statistics")
    assert ">12.3\N{NO-BREAK SPACE}%<" in chapter
    assert "10.0 to 15.0\N{NO-BREAK SPACE}%" in chapter
    assert "verdict-reproduced" in chapter
    assert "n = " in chapter.split("caption-text")[1][:200]
    assert '<div class="run-banner run-banner-smoke" role="note">' in chapter
    assert "SMOKE RUN" in page(source, "book/index")
    assert "Where the results of this page come from" in chapter
    assert "Where the results" not in page(source, "book/index")
    assert 'href="../../data/05_reader_statistics/points.csv"' in chapter
    assert (source / "_build/html/data/05_reader_statistics/points.csv").read_text() == "a,b\n1,2\n"
    assert 'href="../../code/05_reader_statistics.html#points"' in chapter
    assert "style.spectra" in re.sub("<[^>]+>", "", page(source, "code/05_reader_statistics"))
    assert "def spectra" in re.sub("<[^>]+>", "", page(source, "code/05_reader_statistics"))
    assert 'data-stale="current"' in chapter
    assert 'data-stale="current"' in page(source, "book/index")
    measured = json.loads((ROOT / reproduced.MEASURED["deviations"]).read_text())
    assert f">{measured['deviations.size']['value']}<" in page(source, "book/index")
    assert "<svg" in page(source, "book/index")
    assert "https://cdn" not in chapter

    # A new number reaches the page in an incremental build, and another profile gets another banner.
    folder = source / "book" / "executed" / "05_reader_statistics"
    results = folder / "results.json"
    entries = json.loads(results.read_text())
    entries["readers.size"] |= {"value": 99.9, "verdict": "not reproduced"}
    results.write_text(json.dumps(entries))
    for path in (source / "book" / "executed").glob("*/provenance.json"):
        record = json.loads(path.read_text()) | {"profile": "reference"}
        record["files"]["results.json"] = provenance.file_hash(path.with_name("results.json"))
        # Code that changed since is shown, and does not fail a profile that is not run again in minutes.
        record["modules"]["mammogan/report/style.py"] = "another"
        path.write_text(json.dumps(record))
    done = build(source)
    assert done.returncode == 0, done.stdout + done.stderr
    chapter = page(source, "book/executed/05_reader_statistics")
    assert ">99.9\N{NO-BREAK SPACE}%<" in chapter
    assert "run-banner-calm" in chapter
    assert "SMOKE" not in chapter
    assert 'data-stale="stale"' in chapter
    assert re.search(r"mammogan/report/style\.py</code> <strong>changed</strong>", chapter)


def test_what_fails_a_build(source: Path) -> None:
    """Unknown keys; a failed cell, a missing notebook, a number that its notebook did not write, stale code."""
    texts = {
        "{val}`readers.unknown`": "there is no result 'readers.unknown'",
        "{val}`readers.name:interval`": "there is no result 'readers.name:interval'",
        "{csv}`readers/unknown`": "there is no data 'readers/unknown'",
        "```{compare} nothing.*\n```": "no result with a paper's value matches 'nothing.*'",
        "$\\frac{1$": "cannot be typeset",
    }
    body = "\n\n".join(texts)
    (source / "book" / "index.md").write_text(f"# Start\n\n{body}\n\n```{{bibliography}}\n:all:\n```\n")
    executed = source / "book" / "executed"
    (executed / "01_preprocessing.ipynb").unlink()
    content = nbformat.read(executed / "02_progressive_training.ipynb", 4)
    content.cells[2].outputs = [nbformat.v4.new_output("error", ename="ValueError", evalue="x", traceback=["x"])]
    nbformat.write(content, executed / "02_progressive_training.ipynb")
    results = executed / "03_artifact_inspection" / "results.json"
    results.write_text(results.read_text().replace("12.34", "12.35"))
    record = executed / "04_moment_alignment" / "provenance.json"
    record.write_text(
        record.read_text().replace(json.loads(record.read_text())["modules"]["mammogan/report/style.py"], "00")
    )
    results = executed / "05_reader_statistics" / "results.json"
    results.write_text(results.read_text().replace("reproduced", "not reproduced"))
    done = build(source)
    said = done.stdout + done.stderr
    assert done.returncode != 0
    for sentence in (
        *texts.values(),
        "01_preprocessing.ipynb is missing",
        "02_progressive_training holds a failed cell (ValueError)",
        "03_artifact_inspection/results.json is not what its notebook wrote",
        "the numbers of 04_moment_alignment are stale, mammogan/report/style.py changed",
        "the verdict of readers.size does not follow from its numbers",
    ):
        assert sentence in said, sentence


def test_one_stale_number_alone_fails_a_build(source: Path) -> None:
    (source / "book" / "executed" / "01_preprocessing" / "data" / "points.csv").write_text("a,b\n1,3\n")
    assert build(source).returncode != 0


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


def test_the_badge_of_this_checkout_names_all_modules_of_a_stage() -> None:
    from mammogan.pipeline import Pipeline

    pipeline = Pipeline()
    modules = provenance.modules(pipeline._code("04_moment_alignment"))
    assert {
        "mammogan/metrics/information.py",
        "mammogan/metrics/moments.py",
        "mammogan/report/results.py",
    } <= modules.keys()
    assert "mammogan/pipeline.py" not in modules


def test_verdict_of_a_claim() -> None:
    assert reproduced.combine(["reproduced", "cannot be compared"]) == "reproduced"
    assert reproduced.combine(["reproduced", "not reproduced"]) == "not reproduced"
    assert reproduced.combine(["cannot be compared"]) == "cannot be compared"
    assert reproduced.combine([]) == "cannot be compared"


def test_durations_and_energy() -> None:
    assert reproduced.duration(3) == "3 s"
    assert reproduced.duration(150) == "2.5 min"
    assert reproduced.duration(3 * 86400) == "3 days"
    record = {"seconds": 3600.0, "device": "2 x NVIDIA H100"}
    cost = reproduced.costs({"02_progressive_training": record})
    assert cost["cost.energy_all"]["value"] == "1.4\N{NO-BREAK SPACE}kWh"
    assert cost["cost.02_progressive_training"]["value"] == "60 min"


def test_code_behind_a_figure(tmp_path: Path) -> None:
    source = 'results.figure("spectra", style.spectra(f, p), data)\nresults.table(f"x{n}", t)'
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell("from mammogan.report import style"), nbformat.v4.new_code_cell(source)]
    )
    nbformat.write(notebook, tmp_path / "n.ipynb")
    assert listing.drawn(tmp_path / "n.ipynb") == {"spectra": source}
    # A cell that only shows a figure is listed with the cell that made it.
    show = nbformat.v4.new_code_cell("section.figure")
    show.metadata["mystnb"] = {"figure": {"caption": "n = 2 {csv}`alignment/support`"}}
    made = nbformat.v4.new_code_cell("section = style.growth(x)")
    nbformat.write(nbformat.v4.new_notebook(cells=[made, show]), tmp_path / "m.ipynb")
    assert listing.drawn(tmp_path / "m.ipynb") == {"support": "section = style.growth(x)\n\nsection.figure"}
    known = listing.names(tmp_path / "n.ipynb")
    assert listing.called(source, known, ROOT) == [("mammogan/report/style.py", "spectra")]
    text = (ROOT / "mammogan" / "report" / "style.py").read_text()
    body, first, last = listing.definition(text, "spectra")
    assert body.startswith("def spectra(") and text.splitlines()[first - 1 : last] == body.splitlines()
    record = {"commit": provenance.commit()[0], "modules": {"mammogan/report/style.py": provenance.sha256("")}}
    assert "as it ran" not in listing.at_commit(record, "mammogan/report/style.py", ROOT)[1].split(",")[0]


def test_pictures_keep_their_gray_levels(tmp_path: Path) -> None:
    ramp(tmp_path / "a.png")
    pictures.webp(tmp_path / "a.png", tmp_path / "a.webp")
    before, after = (np.asarray(Image.open(tmp_path / f"a.{kind}").convert("RGB")) for kind in ("png", "webp"))
    assert np.array_equal(before, after)
    assert (tmp_path / "a.webp").stat().st_size < (tmp_path / "a.png").stat().st_size


def test_formulas_are_typeset_without_a_page_loading_anything(tmp_path: Path) -> None:
    class App:
        srcdir = ROOT

    typesetter = mathematics.Typesetter(App())
    try:
        svg = typesetter.svg("x^2", False)
        assert svg.startswith("<svg") and "http" not in svg.replace("http://www.w3.org", "")
        assert typesetter.svg("x^2", False) is svg
    finally:
        typesetter.stop()


# ---- The text of the repository's own pages and notebooks ----


def prose() -> dict[str, str]:
    """{file: prose}: pages and markdown cells, without code, roles, formulas, links, quotations and front matter."""
    found = {path.name: path.read_text() for path in sorted((ROOT / "book").glob("*.md"))}
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = [cell.source for cell in nbformat.read(path, 4).cells if cell.cell_type == "markdown"]
        found[path.name] = "\n\n".join(cells)
    strip = (r"(?s)```.*?```", r"\{[\w:]+\}`[^`]*`", r"`[^`]*`", r"(?s)\$\$.*?\$\$", r"\$[^$\n]*\$", r"\]\([^)]*\)",
             r"\"[^\"\n]*\"", r"\u201c[^\u201d\n]*\u201d")  # fmt: skip
    for pattern in strip:
        found = {name: re.sub(pattern, " ", text) for name, text in found.items()}
    return found


# Numbers in prose that are no results: levels, settings of a method, goals, versions.
SETTINGS = {"95 %", "97 %", "99 %", "90 %", "6 %", "5 %", "99.99", "0.5", "0.9", "1.8", ".52", "3.11", "4.0"}


def printed() -> set[float]:
    """Every number that the paper prints and the library holds: prose may quote it."""
    from mammogan.paper import consistency
    from mammogan.paper import printed as alignment
    from mammogan.paper import printed as readers

    found = {quote.value for quote in consistency.QUOTES} | {
        readers.RADIOLOGISTS_P,
        readers.CHI_SQUARE_P,
        readers.KRUSKAL_P,
    }
    found |= {group.rate for group in readers.TABLE4} | set(readers.TABLE3.values())
    for table in (alignment.TABLE1, alignment.TABLE2_INFORMATION, alignment.TABLE2_NEIGHBORS):
        found |= set(np.ravel(table).tolist())
    return {round(float(value), 6) for value in found}


def test_no_result_is_typed_in_prose() -> None:
    """Percentages and decimals in prose come from results; what is left is the paper's own, or a setting."""
    typed, known = [], printed()
    for name, text in prose().items():
        for match in re.finditer(r"(?<![\w.])(\d+(?:\.\d+)? ?%|\d*\.\d+)(?![\w])", text):
            if match[1] not in SETTINGS and round(float(match[1].rstrip("% ")), 6) not in known:
                typed.append(f"{name}: {match[1]} in {text[max(match.start() - 40, 0) : match.end() + 20]!r}")
    assert not typed, "\n".join(typed)


def test_every_section_names_what_of_the_paper_it_answers() -> None:
    """Below each heading of a chapter; the comparison at the end of one needs no name."""
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        text = "\n\n".join(c.source for c in nbformat.read(path, 4).cells if c.cell_type == "markdown")
        sections = re.findall(r"^## (.+)\n+(.*)", text, re.M)
        assert len(sections) > 3, path.name
        for title, first in sections:
            assert re.match(r"\{paper\}`[^`]+`$", first), f"{path.name}: {title}"


def test_every_figure_says_what_it_shows() -> None:
    """Name, caption with n and data, alternative text; radiographs keep their gray levels and state their window."""
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        for cell in nbformat.read(path, 4).cells:
            facts = cell.metadata.get("mystnb", {})
            if "results.figure(" not in cell.source and "figure" not in facts:
                continue
            where = f"{path.name}: {cell.source.splitlines()[-1]}"
            figure, image = facts.get("figure", {}), facts.get("image", {})
            assert figure.get("name", "").startswith("fig-"), where
            assert len(image.get("alt", "")) > 20, where
            caption = figure.get("caption", "")
            assert re.search(r"\bn\b|\{val\}", caption), where
            assert "{csv}`" in caption, where
            if "contact_sheet" in cell.source:
                assert "dark-light" in image.get("classes", ""), where
                assert "window" in caption.lower(), where
