"""Build the book from the results of the stages: HTML by jupyter-book, and a PDF of it by Chromium."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from mammogan.atomic import replacing, replacing_folder, write_json
from mammogan.errors import PipelineError, require
from mammogan.gan.sampling import sample
from mammogan.gan.writers import Draw
from mammogan.pipeline.stages import DEFAULT_PROFILE, Pipeline
from mammogan.reader_study.browser import sources
from mammogan.reader_study.build import DEMO_POOL, DEMO_SEED, write_demo
from mammogan.report import provenance
from mammogan.report.provenance import sha256

PUBLISHED = ("results.json", "provenance.json", "figures", "data")
SETTINGS = ("_config.yml", "_toc.yml")
PHANTOM_RUN = "reference/phantoms/run"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# The root is within a folder of its own, and Chromium's sandbox is not available in most containers.
PRINT = ("--headless", "--no-sandbox", "--disable-gpu", "--no-pdf-header-footer", "--virtual-time-budget=60000")


def build_book(pipeline: Pipeline, echo: Callable[[str], None] = print) -> Path:
    """Publish the results of all stages to the sources of the book and build the HTML; return its start page.

    The sources of the smoke profile are the checkout itself, so that `jupyter-book build .` shows the same book; every
    other build has a copy of them.

    Raises:
        PipelineError: results of a stage are not up to date, or the build failed; the last good book is kept.
    """
    _check_results(pipeline)
    build = pipeline.root / "_build" / pipeline.name
    html, record = build / "html", build / "key.json"
    folders = {name: pipeline.folder(name) for name in pipeline.stages}
    dates = {name: json.loads((path / "provenance.json").read_text())["date"] for name, path in folders.items()}
    page_code = "from mammogan.reader_study.build import write_demo"
    key = {
        "sources": sha256(*provenance.contents(pipeline.root / "book", skip="executed")),
        "benchmarks": sha256(*provenance.contents(pipeline.root / "benchmarks" / "results")),
        "settings": sha256(*((pipeline.root / name).read_bytes() for name in SETTINGS)),
        "reader study": sha256(provenance.code_hash([page_code]), *(path.read_bytes() for path in sources())),
        **{name: sha256(json.dumps(pipeline.key(name)), date) for name, date in dates.items()},
    }
    if record.is_file() and (html / "index.html").is_file() and json.loads(record.read_text()) == key:
        return html / "index.html"
    started = time.perf_counter()
    made = _sphinx(pipeline, "html")
    _write_demo(pipeline, made / "reader_study")
    with replacing_folder(html) as aside:
        made.replace(aside)
    shutil.rmtree(made.parents[1], ignore_errors=True)
    write_json(record, key)
    echo(f"book: {time.perf_counter() - started:.1f} s")
    return html / "index.html"


def print_book(pipeline: Pipeline) -> Path:
    """Build the book as one page, print it as a PDF by Chromium, and return the PDF.

    Raises:
        PipelineError: Chromium is missing, results of a stage are not up to date, or the build failed.
    """
    _check_results(pipeline)
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if not browser:
        raise PipelineError(f"None of {', '.join(BROWSERS)} is installed, and one must print the book; install it.")
    made = _sphinx(pipeline, "singlehtml")
    page = single_page(made)
    target = pipeline.root / "_build" / pipeline.name / f"mammogan-{pipeline.name}.pdf"
    with replacing(target) as aside:
        command = [browser, *PRINT, f"--user-data-dir={made / 'browser'}", f"--print-to-pdf={aside}", page.as_uri()]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode or not aside.is_file():
            last = next(iter(done.stderr.strip().splitlines()[-1:]), "it wrote no file")
            raise PipelineError(f"Chromium did not print the book: {last}.")
    shutil.rmtree(made.parents[1], ignore_errors=True)
    return target


def single_page(made: Path) -> Path:
    """Return the page that Sphinx's builder "singlehtml" made in a folder, fit to be opened.

    Sphinx writes it next to the start page of the book and names style sheets as if it were at the top.
    """
    page = made / "book" / "index.html"
    (page.parent / "_static").symlink_to(made / "_static")
    return page


def _write_demo(pipeline: Pipeline, target: Path) -> None:
    """Write the reader study of the book: phantoms against a generator of phantoms, which alone is a fair pair.

    A generator of patients' images would be told by what it draws, and patients' images are not shown.
    """
    phantoms = None if pipeline.data else pipeline.folder("01_preprocessing") / "store"
    drawn = pipeline.folder("02_progressive_training") / "synthetic"
    if "phantoms" not in pipeline.data_name or pipeline.data:
        drawn = sample(pipeline.root / PHANTOM_RUN, target.with_name("drawn"), Draw(DEMO_POOL, DEMO_SEED))
    write_demo(phantoms, drawn, target, "phantoms too")
    shutil.rmtree(target.with_name("drawn"), ignore_errors=True)


def published(notebook: Path) -> str:
    """Return an executed notebook as the book shows it.

    The cells of its parameters are left out, which the record at the end of its page lists, and so are captions of
    figures that a sentence replaces.
    """
    content = json.loads(notebook.read_text(encoding="utf-8"))
    for cell in content["cells"]:
        if {"parameters", "injected-parameters"} & set(tags := cell["metadata"].get("tags", [])):
            cell["metadata"]["tags"] = [*tags, "remove-cell"]
        if not any("image/png" in output.get("data", {}) for output in cell.get("outputs", [])):
            cell["metadata"].get("mystnb", {}).pop("figure", None)
    return json.dumps(content, indent=1)


def _check_results(pipeline: Pipeline) -> None:
    for name in pipeline.stages:
        if why := pipeline.why(name):
            raise PipelineError(f"The stage {name} must run before the book is built ({why}); run mammogan run.")


def _sphinx(pipeline: Pipeline, builder: str) -> Path:
    """Publish the results, build, and return the folder of what was made, below _build/NAME/new-BUILDER."""
    require("book", "jupyter_book")
    build, source = pipeline.root / "_build" / pipeline.name, pipeline.root
    if pipeline.name != DEFAULT_PROFILE:
        source = build / "source"
        shutil.rmtree(source, ignore_errors=True)
        source.mkdir(parents=True)
        for name in SETTINGS:
            shutil.copy2(pipeline.root / name, source / name)
        shutil.copytree(pipeline.root / "book", source / "book", ignore=shutil.ignore_patterns("executed"))
        (source / "node_modules").symlink_to(pipeline.root / "node_modules")
    with replacing_folder(source / "book" / "executed") as executed:
        for name in pipeline.stages:
            (executed / name).mkdir()
            (executed / f"{name}.ipynb").write_text(
                published(pipeline.folder(name) / "notebook.ipynb"), encoding="utf-8"
            )
            for part in (pipeline.folder(name) / part for part in PUBLISHED):
                if part.is_dir():
                    shutil.copytree(part, executed / name / part.name)
                elif part.is_file():
                    shutil.copy2(part, executed / name)
    output, log = build / f"new-{builder}", build / f"{builder}.log"
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    # The command line of jupyter-book does not pass on the number of processes for Sphinx; one of them only waits.
    code = (
        "from functools import partial; from jupyter_book import sphinx; from jupyter_book.cli.main import main; "
        f"sphinx.build_sphinx = partial(sphinx.build_sphinx, jobs={(os.cpu_count() or 1) + 1}); main()"
    )
    command = [sys.executable, "-c", code, "build", str(source), "--path-output", str(output)]
    command += ["--all", "-W", "-n", "--keep-going", "--builder", builder]
    with log.open("w") as file:
        environment = {**os.environ, "NO_COLOR": "1"}
        status = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, env=environment).returncode
    made = output / "_build" / builder
    if status or not made.is_dir():
        warnings = [line for line in log.read_text().splitlines() if re.search("WARNING|ERROR|CRITICAL", line)]
        first = warnings[0].removeprefix(str(pipeline.root) + os.sep) if warnings else "see the log"
        raise PipelineError(f"The book was not built: {first}. The whole log is {os.path.relpath(log)}.")
    return made
