"""Runs the paper: each stage a notebook through papermill, again only where something changed, then the book.

A stage's key is a hash of all that its results depend on: the notebook's cells, its parameters, the modules that it
imports, the keys of the stages before it, and the listing of the data folder. Everything is worked out aside and put in
place only when it is good, so that a failure leaves the last good book as it was.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any

import yaml

from mammogan.atomic import write_json
from mammogan.errors import PipelineError
from mammogan.report import provenance
from mammogan.report.provenance import ROOT, sha256

DEFAULT_PROFILE = "smoke"
PHANTOMS = "embedded phantoms"
PUBLISHED = ("results.json", "provenance.json", "figures", "data")
PLACE = r"\{(\w+)\}"  # in a parameter: the folder of a stage, or the data
TOGETHER = 3  # notebooks that run at a time: as many as ever need nothing of each other
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def single_page(made: Path) -> Path:
    """The page that Sphinx's builder "singlehtml" made in a folder, fit to be opened.

    Sphinx puts it beside the start page of the book and names style sheets as if it lay at the top.
    """
    page = made / "book" / "index.html"
    (page.parent / "_static").symlink_to(made / "_static")
    return page


@dataclass(frozen=True)
class Stage:
    """One notebook of the paper, as pipeline.yaml describes it."""

    name: str
    parameters: dict[str, Any]
    makes: tuple[str, ...]


class Pipeline:
    """The stages of one build: a profile, on the embedded phantoms or on a folder of real images.

    Args:
        profile: a profile of pipeline.yaml.
        data: folder of real images, or None for the phantoms.
        root: folder that holds pipeline.yaml, notebooks/ and book/.

    Raises:
        PipelineError: an unknown profile, or a data folder that is missing, empty or unreadable.
    """

    def __init__(self, profile: str = DEFAULT_PROFILE, data: str | Path | None = None, root: Path = ROOT) -> None:
        self.root = Path(root)
        try:
            content = yaml.safe_load((self.root / "pipeline.yaml").read_text(encoding="utf-8"))
        except OSError:
            raise PipelineError(f"There is no pipeline.yaml in {self.root}; run this in a checkout.") from None
        if profile not in content["profiles"]:
            known = ", ".join(content["profiles"])
            raise PipelineError(f"There is no profile {profile!r}; the profiles are {known}.")
        self.profile = profile
        self.data = Path(data).resolve() if data else None
        if self.data:
            check_data(self.data, str(data))
        self.stages = {name: Stage(name, s["parameters"], tuple(s["makes"])) for name, s in content["stages"].items()}
        settings = dict(content["profiles"][profile] or {})
        # A profile may rest on files of a run on other images; then it says which.
        described = settings.pop("data", PHANTOMS)
        self.data_name = self.data.name if self.data else described
        self.overrides: dict[str, dict[str, Any]] = settings
        for name in self.overrides:
            if name not in self.stages:
                raise PipelineError(f"The profile {profile} sets parameters of {name}, which is no stage; correct it.")
        # A build on other data keeps its own folders, so that it never overwrites another's results.
        self.name = profile + (f"-{_slug(self.data.name)}" if self.data else "")
        self.runs = self.root / "runs" / self.name

    def folder(self, stage: str) -> Path:
        """Where a stage writes."""
        return self.runs / stage

    def notebook(self, stage: str) -> Path:
        """Source of a stage."""
        return self.root / "notebooks" / f"{stage}.ipynb"

    def _unfilled(self, stage: str) -> dict[str, Any]:
        return {**self.stages[stage].parameters, "out": f"{{{stage}}}", **self.overrides.get(stage, {})}

    def needs(self, stage: str) -> list[str]:
        """The stages whose files a stage reads: those that its parameters name."""
        named = {name for value in self._unfilled(stage).values() for name in re.findall(PLACE, str(value))}
        return [name for name in self.stages if name in named and name != stage]

    def parameters(self, stage: str) -> dict[str, Any]:
        """What the runner passes to a notebook; paths are relative to the root, so that no page names a machine."""
        places = {name: str(self.folder(name).relative_to(self.root)) for name in self.stages}
        # A link stands in for the data folder: its path may name people or machines, and this one lands on a page.
        places["data"] = str((self.runs / "data").relative_to(self.root)) if self.data else ""
        return {
            key: re.sub(PLACE, lambda match: places[match[1]], value) if isinstance(value, str) else value
            for key, value in self._unfilled(stage).items()
        }

    def check_parameters(self, stage: str) -> None:
        """Refuse a parameter that the notebook does not have: papermill would ignore it.

        Raises:
            PipelineError: the notebook is missing, or has no such parameter.
        """
        from papermill import inspect_notebook

        path = self.notebook(stage)
        if not path.is_file():
            raise PipelineError(f"The notebook {path.relative_to(self.root)} is missing; restore it.")
        known = inspect_notebook(str(path))
        for name in self.parameters(stage):
            if name not in known:
                raise PipelineError(
                    f"The notebook {stage} has no parameter {name!r}; it has {', '.join(known) or 'none'}. "
                    "Correct pipeline.yaml."
                )

    @cached_property
    def _data_hash(self) -> str:
        return provenance.tree_hash(self.data) if self.data else ""

    def key(self, stage: str) -> dict[str, str]:
        """What the results of a stage depend on, each part as a hash under a name that explains it."""
        parameters = self.parameters(stage)
        return {
            "the notebook": provenance.notebook_hash(self.notebook(stage)),
            "its parameters": sha256(json.dumps(parameters, sort_keys=True)),
            "the code it imports": provenance.code_hash(self._code(stage)),
            "the data folder": self._data_hash if "source" in parameters else "",
            **({"the reference": sha256(*kept)} if (kept := self._reference_parts(parameters)) else {}),
            **{f"the stage {name}": sha256(json.dumps(self.key(name))) for name in self.needs(stage)},
        }

    def _code(self, stage: str) -> list[str]:
        cells = json.loads(self.notebook(stage).read_text(encoding="utf-8"))["cells"]
        return [_python("".join(c["source"])) for c in cells if c["cell_type"] == "code"]

    def _references(self, parameters: dict[str, Any]) -> list[Path]:
        """Folders and files of earlier runs that a stage reads, below reference/ and benchmarks/."""
        kept = ("reference/", "benchmarks/")
        places = {self.root / v for v in parameters.values() if isinstance(v, str) and v.startswith(kept)}
        if missing := sorted(place for place in places if not place.exists()):
            raise PipelineError(f"The profile {self.profile} needs {missing[0].relative_to(self.root)}; restore it.")
        return sorted(places)

    def _reference_parts(self, parameters: dict[str, Any]) -> list[bytes]:
        places = self._references(parameters)
        return [part for p in places for part in ([p.read_bytes()] if p.is_file() else _tree(p, skip=""))]

    def why(self, stage: str) -> str:
        """Why a stage must run, in words; "" where its results stand."""
        folder = self.folder(stage)
        try:
            before = json.loads((folder / "key.json").read_text())
        except (OSError, ValueError):
            return "it has no results yet"
        changed = [part for part, value in self.key(stage).items() if before.get(part) != value]
        if changed:
            return f"changed: {', '.join(changed)}"
        wanted = ("notebook.ipynb", "results.json", "provenance.json", *self.stages[stage].makes)
        missing = [name for name in wanted if not (folder / name).exists()]
        return f"missing: {', '.join(missing)}" if missing else ""

    def run_stage(self, stage: str) -> float:
        """Execute one notebook; its results count only when it ended well.

        Returns:
            wall time, seconds.

        Raises:
            PipelineError: the notebook failed, its kernel died, or a promised file is missing.
        """
        import papermill

        folder, key = self.folder(stage), self.key(stage)
        attempt = folder / "attempt.json"
        # The same attempt, cut off, is continued: the store and the run pick up where they were. Another starts clean.
        if not attempt.is_file() or json.loads(attempt.read_text()) != key:
            shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "key.json").unlink(missing_ok=True)
        write_json(attempt, key)
        aside = folder / ".notebook.ipynb"
        parameters = self.parameters(stage)
        started = time.perf_counter()
        try:
            papermill.execute_notebook(
                str(self.notebook(stage)),
                str(aside),
                parameters=parameters,
                kernel_name="python3",
                progress_bar=sys.stderr.isatty(),
                cwd=str(self.root),
                # The kernel listens on this machine alone and needs not warn on every start, nor tell of its end.
                extra_arguments=["--IPKernelApp.log_level=CRITICAL"],
            )
        except Exception as error:  # papermill, nbclient and jupyter_client share no base class
            raise self._failed(stage, aside, error) from None
        seconds = time.perf_counter() - started
        for name in ("results.json", *self.stages[stage].makes):
            if not (folder / name).exists():
                raise self._failed(stage, aside, FileNotFoundError(f"it did not write {name}"))
        record = provenance.describe(
            stage,
            self.profile,
            {**_defaults(aside), **parameters},
            data=self.data_name,
            data_hash=self._fingerprint(stage),
            seconds=round(seconds, 1),
            needs=self.needs(stage),
            notebook=key["the notebook"],
            modules=provenance.modules(self._code(stage)),
            files=_hashes(folder),
        )
        write_json(folder / "provenance.json", record)
        aside.replace(folder / "notebook.ipynb")
        write_json(folder / "key.json", key)
        return seconds

    def _fingerprint(self, stage: str) -> str:
        """Hash of the images that the results of a stage rest on; "" where there are none."""
        for place in self._references(self.parameters(stage)):
            for folder in (place, *place.parents):
                if (folder / "provenance.json").is_file():
                    return json.loads((folder / "provenance.json").read_text())["data_hash"]
        for name in self._closure(stage):
            path = self.folder(name) / "store" / "zarr.json"
            if path.is_file():
                return json.loads(path.read_text())["attributes"].get("fingerprint", "")
        return ""

    def _failed(self, stage: str, notebook: Path, error: Exception) -> PipelineError:
        kept = ""
        if notebook.is_file():
            target = self.runs / "failed" / f"{stage}.ipynb"
            target.parent.mkdir(parents=True, exist_ok=True)
            notebook.replace(target)
            kept = f"; the failed notebook is kept as {os.path.relpath(target)}"
        name, value = getattr(error, "ename", type(error).__name__), getattr(error, "evalue", str(error))
        where = getattr(error, "exec_count", None)
        cell = f" in cell [{where}]" if where else ""
        first = next(iter(str(value).strip().splitlines()), "").rstrip(".")
        return PipelineError(f"The notebook {stage} failed{cell}: {name}: {first}{kept}.")

    def run(
        self,
        *,
        only: str | None = None,
        force: bool = False,
        explain: bool = False,
        echo: Callable[[str], None] = print,
    ) -> dict[str, float]:
        """Run the stages that must run.

        Args:
            only: a stage, or the beginning of its name ("04"); the stages that it needs are run where they must.
            force: run again what stands.
            explain: say what would run and why, and run nothing.
            echo: takes each line of the report.

        Returns:
            {stage: seconds} of the stages that ran.
        """
        wanted = self._closure(only)
        for name in wanted:
            self.check_parameters(name)
        if explain:
            stale: set[str] = set()
            for name in wanted:
                why = "asked for" if force else self.why(name)
                why = why or next((f"the stage {need} runs" for need in self.needs(name) if need in stale), "")
                if why:
                    stale.add(name)
                echo(f"{name}: {'runs, ' + why if why else 'stands'}")
            return {}
        with self._lock():
            if self.data:
                link = self.runs / "data"
                link.unlink(missing_ok=True)
                link.symlink_to(self.data)
            with _working_directory(self.root):
                return self._run_stages(wanted, force, echo)

    def _run_stages(self, wanted: list[str], force: bool, echo: Callable[[str], None]) -> dict[str, float]:
        """Run what must run, `TOGETHER` notebooks at a time, each when those that it needs are done."""
        waiting, running, took = list(wanted), set[str](), dict[str, float]()
        ended: SimpleQueue[tuple[str, float | BaseException]] = SimpleQueue()
        failure: BaseException | None = None
        # Each gets its share of the cores: linear algebra takes all of them otherwise, and waits for them in a loop.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", str(max((os.cpu_count() or 1) // TOGETHER, 1)))

        def work(name: str) -> None:
            try:
                ended.put((name, self.run_stage(name)))
            except BaseException as error:  # reported below, in the thread that asked
                ended.put((name, error))

        while waiting or running:
            for name in list(waiting):
                if len(running) == TOGETHER or {*waiting, *running} & set(self.needs(name)):
                    continue
                waiting.remove(name)
                why = "asked for" if force else self.why(name)
                if not why:
                    continue
                echo(f"{name}: running ({why})")
                if force:
                    (self.folder(name) / "attempt.json").unlink(missing_ok=True)
                running.add(name)
                # A daemon does not hold up the runner's own end, and a kernel ends when its runner is gone.
                Thread(target=work, args=(name,), daemon=True).start()
            if running:
                name, outcome = ended.get()
                running.remove(name)
                if isinstance(outcome, BaseException):
                    failure = failure or outcome
                    waiting.clear()  # what runs beside it is finished, and stands
                else:
                    took[name] = outcome
                    echo(f"{name}: {outcome:.1f} s")
        if failure:
            raise failure
        return took

    def _closure(self, only: str | None) -> list[str]:
        if only is None:
            return list(self.stages)
        chosen = [name for name in self.stages if name.startswith(only)]
        if len(chosen) != 1:
            raise PipelineError(f"{only!r} names {len(chosen)} stages of {', '.join(self.stages)}; name one.")
        needed = set(chosen)
        for name in reversed(self.stages):
            if name in needed:
                needed |= set(self.needs(name))
        return [name for name in self.stages if name in needed]

    @contextmanager
    def _lock(self) -> Iterator[None]:
        self.runs.mkdir(parents=True, exist_ok=True)
        with (self.runs / ".lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise PipelineError(f"Another run of {self.name} is under way; wait for it or stop it.") from None
            yield

    def book(self, echo: Callable[[str], None] = print) -> Path:
        """Publish the stages' results to the book's sources and build the HTML; returns its index.

        The default build's sources are the checkout itself, so that `jupyter-book build .` shows the same book; every
        other build gets a copy of them.

        Raises:
            PipelineError: a stage has no good results, or the build failed; the last good book stays.
        """
        from mammogan.reader_study.browser import sources, write_demo

        page_code = "from mammogan.reader_study.browser import write_demo"
        self._check_standing()
        build = self.root / "_build" / self.name
        html = build / "html"
        key = {
            "sources": provenance.sha256(*_tree(self.root / "book", skip="executed")),
            "benchmarks": provenance.sha256(*_tree(self.root / "benchmarks" / "results")),
            "settings": sha256(*((self.root / name).read_bytes() for name in ("_config.yml", "_toc.yml"))),
            "reader study": sha256(provenance.code_hash([page_code]), *sources()),
            **{name: sha256(json.dumps(self.key(name)), self._when(name)) for name in self.stages},
        }
        record = build / "key.json"
        if record.is_file() and (html / "index.html").is_file() and json.loads(record.read_text()) == key:
            return html / "index.html"
        started = time.perf_counter()
        made = self._sphinx("html")
        store, synthetic = (
            self.folder("01_preprocessing") / "store",
            self.folder("02_progressive_training") / "synthetic",
        )
        trained = "mammograms" if self.data else self.data_name.removesuffix(" (statistics only)")
        write_demo(None if self.data else store, synthetic, made / "reader_study", trained)
        old = build / "old"
        shutil.rmtree(old, ignore_errors=True)
        if html.exists():
            html.replace(old)
        made.replace(html)
        shutil.rmtree(old, ignore_errors=True)
        shutil.rmtree(made.parents[1], ignore_errors=True)
        write_json(record, key)
        echo(f"book: {time.perf_counter() - started:.1f} s")
        return html / "index.html"

    def pdf(self) -> Path:
        """The same book as one PDF, printed by Chromium; returns it.

        Raises:
            PipelineError: Chromium is missing, a stage has no good results, or the build failed.
        """
        self._check_standing()
        browser = next(filter(None, map(shutil.which, BROWSERS)), None)
        if not browser:
            raise PipelineError(f"None of {', '.join(BROWSERS)} is installed, and one must print the book; install it.")
        made = self._sphinx("singlehtml")
        target = self.root / "_build" / self.name / f"mammogan-{self.name}.pdf"
        aside = made / "book.pdf"
        page = single_page(made)
        # The root is within a folder of its own, and Chromium's sandbox cannot be had in most containers.
        command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--no-pdf-header-footer"]
        command += [f"--user-data-dir={made / 'browser'}", "--virtual-time-budget=60000", f"--print-to-pdf={aside}"]
        done = subprocess.run([*command, page.as_uri()], capture_output=True, text=True)
        if done.returncode or not aside.is_file():
            last = next(iter(done.stderr.strip().splitlines()[-1:]), "it wrote no file")
            raise PipelineError(f"Chromium did not print the book: {last}.")
        aside.replace(target)
        shutil.rmtree(made.parents[1], ignore_errors=True)
        return target

    def _check_standing(self) -> None:
        for name in self.stages:
            if why := self.why(name):
                raise PipelineError(f"The stage {name} must run before the book is built ({why}); run mammogan run.")

    def _sphinx(self, builder: str) -> Path:
        """Publish the results, build, and return the folder of what was made, below _build/NAME/new-BUILDER."""
        build = self.root / "_build" / self.name
        source = self.root
        if self.name != DEFAULT_PROFILE:
            source = build / "source"
            shutil.rmtree(source, ignore_errors=True)
            source.mkdir(parents=True)
            for name in ("_config.yml", "_toc.yml"):
                shutil.copy2(self.root / name, source / name)
            shutil.copytree(self.root / "book", source / "book", ignore=shutil.ignore_patterns("executed"))
            (source / "node_modules").symlink_to(self.root / "node_modules")
        self._publish(source / "book" / "executed")
        output = build / f"new-{builder}"
        shutil.rmtree(output, ignore_errors=True)
        output.mkdir(parents=True)
        # The command line of jupyter-book does not hand on how many processes Sphinx may use; one of them only waits.
        code = (
            "from functools import partial; from jupyter_book import sphinx; from jupyter_book.cli.main import main; "
            f"sphinx.build_sphinx = partial(sphinx.build_sphinx, jobs={(os.cpu_count() or 1) + 1}); main()"
        )
        command = [sys.executable, "-c", code, "build", str(source), "--path-output", str(output)]
        command += ["--all", "-W", "-n", "--keep-going", "--builder", builder]
        log = build / f"{builder}.log"
        with log.open("w") as file:
            environment = {**os.environ, "NO_COLOR": "1"}
            status = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, env=environment).returncode
        made = output / "_build" / builder
        if status or not made.is_dir():
            warnings = [line for line in log.read_text().splitlines() if re.search("WARNING|ERROR|CRITICAL", line)]
            first = warnings[0].removeprefix(str(self.root) + os.sep) if warnings else "see the log"
            raise PipelineError(f"The book was not built: {first}. The whole log is {os.path.relpath(log)}.")
        return made

    def _when(self, stage: str) -> str:
        return json.loads((self.folder(stage) / "provenance.json").read_text())["date"]

    def _publish(self, target: Path) -> None:
        aside = target.with_name(".executed.aside")
        shutil.rmtree(aside, ignore_errors=True)
        for name in self.stages:
            folder = self.folder(name)
            (aside / name).mkdir(parents=True)
            shutil.copy2(folder / "notebook.ipynb", aside / f"{name}.ipynb")
            for part in PUBLISHED:
                source = folder / part
                if source.is_dir():
                    shutil.copytree(source, aside / name / part)
                elif source.is_file():
                    shutil.copy2(source, aside / name / part)
        shutil.rmtree(target, ignore_errors=True)
        aside.replace(target)


def stage_output(stage: str) -> Path:
    """Folder of a stage of the smoke run, made first where it is missing: lets a notebook be run by itself."""
    pipeline = Pipeline()
    if any(pipeline.why(name) for name in pipeline._closure(stage)):
        pipeline.run(only=stage, echo=lambda line: print(line, file=sys.stderr))
    return pipeline.folder(stage)


def notebook_output(stage: str) -> Path:
    """Folder for what a notebook writes that is run by itself, apart from the folders of the runner."""
    return ROOT / "runs" / "by-hand" / stage


def check_data(folder: Path, given: str) -> None:
    """Refuse a data folder before anything is run on it.

    Raises:
        PipelineError: it is missing, unreadable or empty.
    """
    if not folder.exists():
        raise PipelineError(f"There is no folder {given}; give DATA a folder of DICOM files or pictures.")
    if folder.is_dir():
        try:
            empty = not any(names for _, _, names in os.walk(folder, onerror=_raise))
        except OSError as error:
            raise PipelineError(f"The folder {given} cannot be read ({error.strerror}); correct that.") from None
        if empty:
            raise PipelineError(f"The folder {given} is empty; give DATA a folder of DICOM files or pictures.")


def _raise(error: OSError) -> None:
    raise error


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "data"


def _python(source: str) -> str:
    """A cell without its magics, which are no Python."""
    return "\n".join("" if line.lstrip().startswith(("%", "!")) else line for line in source.splitlines())


def _hashes(folder: Path) -> dict[str, str]:
    """What a stage hands to the book: {path below its folder: SHA-256}."""
    names = [folder / "results.json", *sorted((folder / "data").rglob("*.csv"))]
    return {path.relative_to(folder).as_posix(): provenance.file_hash(path) for path in names}


def _defaults(notebook: Path) -> dict[str, Any]:
    """Values of the parameters cell of a notebook, as far as they are literals."""
    from papermill import inspect_notebook

    values = {}
    for name, facts in inspect_notebook(str(notebook)).items():
        try:
            values[name] = yaml.safe_load(facts["default"])
        except yaml.YAMLError:
            values[name] = facts["default"]
    return values


def _tree(folder: Path, skip: str = "") -> list[bytes]:
    files = sorted(p for p in folder.rglob("*") if p.is_file() and skip not in p.parts and "__pycache__" not in p.parts)
    return [part for p in files for part in (str(p.relative_to(folder)).encode(), p.read_bytes())]


@contextmanager
def _working_directory(path: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(path)
    try:
        yield
    finally:
        os.chdir(before)
