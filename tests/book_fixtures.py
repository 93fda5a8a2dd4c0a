"""A small book around chapters of fixtures, for the tests of the Sphinx extension and of the pages."""

from __future__ import annotations

import base64
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
import reproduced
import yaml
from PIL import Image

from mammogan.metrics.moments import MOMENT_NAMES
from mammogan.report import provenance
from mammogan.report.provenance import ROOT
from mammogan.stats.equivalence import group_table

STAGES = {stage: chapter for chapter, stage in reproduced.STAGES.items()}
ENTRY = {"label": "a number", "unit": "%", "format": ".1f", "how": "counted"}
COMPARED = {**ENTRY, "value": 12.34, "interval": [10.0, 15.0], "paper": 12.0, "tolerance": 0.5, "verdict": "reproduced"}
PLOTS = {"training": "growth", "alignment": "clouds", "readers": "equivalence"}
GROUPS = [("All participants", 652, 1330), ("Specializing in breast", 169, 370), ("Few", 9, 20)]


CHART = '<svg xmlns="http://www.w3.org/2000/svg" width="92pt" height="35pt"><rect width="9" height="9"/></svg>'


def moments() -> pd.DataFrame:
    """Two clouds of moments, as the alignment chapter writes them."""
    rng = np.random.default_rng(5)
    table = np.concatenate([rng.normal(0, 1, (300, 5)), rng.normal(0.7, 1.2, (300, 5))])
    found = pd.DataFrame(table, columns=list(MOMENT_NAMES))
    found.insert(0, "kind", ["real"] * 300 + ["synthetic"] * 300)
    return found


def figure_cell(chapter: str, name: str, label: str, picture: bytes, classes: str) -> nbformat.NotebookNode:

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
        tables = {"alignment": moments, "readers": lambda: group_table(GROUPS, 0.05)}
        table = tables.get(chapter, lambda: pd.DataFrame({"a": [1], "b": [2]}))()
        table.to_csv(folder / "data" / f"{name}.csv", index=False)
    if chapter == "training":
        frames = [{"label": f"{n} images", "file": f"{n}.png"} for n in (10, 20)]
        for frame in frames:
            ramp(folder / "figures" / "points" / frame["file"])
        (folder / "figures" / "points" / "frames.json").write_text(json.dumps(frames))
        (folder / "data" / "sixteen.csv").write_text("a,b\n1,2\n")
        ramp(folder / "figures" / "sixteen.png")
        (folder / "data" / "hyperparameters.csv").write_text("a,b,c,d,e\n1,2,3,4,5\n")
    if chapter == "readers":
        (folder / "data" / "tolerances.csv").write_text("a,b,c\n1,2,3\n")
        (folder / "data" / "works.csv").write_text("a,b,c,d,e,f\n1,2,3,4,5,6\n")
        (folder / "data" / "since.csv").write_text("a,b\n1,2\n")
        for name in ("since", "readers"):
            ramp(folder / "figures" / f"{name}.png")
            (folder / "figures" / f"{name}.svg").write_text(CHART)
        (folder / "data" / "readers.csv").write_text("a,b\n1,2\n")
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
    for name in ("_ext", "_static", "_templates"):
        shutil.copytree(ROOT / "book" / name, folder / "book" / name)
    shutil.copy(ROOT / "book" / "references.bib", folder / "book" / "references.bib")
    (folder / "node_modules").symlink_to(ROOT / "node_modules")
    return folder


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
    for claim in yaml.safe_load((folder / "book" / "claims.yaml").read_text()):
        keys |= {*claim.get("evidence", []), *(condition.split()[0] for condition in claim.get("provided", []))}
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
