"""Run the notebooks of the stages that must run, and record where their results come from."""

import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager
from pathlib import Path
from threading import Semaphore, Thread

from mammogan.atomic import FolderKind, check_replaceable, lock, write_json, writing
from mammogan.errors import PipelineError, require
from mammogan.pipeline.stages import TRAINING, Pipeline, read_key
from mammogan.report import provenance
from mammogan.report.kept import facts
from mammogan.threads import prepare_threads

TOGETHER = 3  # notebooks that run at the same time
# A folder of results may hold any file. The runner writes attempt.json first and key.json last; a notebook that runs
# alone writes results.json.
RESULTS = (
    *(
        FolderKind("results of a stage", mark, lambda content: "the notebook" in json.loads(content), ".*")
        for mark in ("key.json", "attempt.json")
    ),
    FolderKind(
        "results of a stage",
        "results.json",
        lambda content: all({"value", "label"} <= entry.keys() for entry in json.loads(content).values()),
        ".*",
    ),
)


def run(
    pipeline: Pipeline, *, only: str | None = None, force: bool = False, echo: Callable[[str], None] = print
) -> dict[str, float]:
    """Run the stages that must run, each when those that it needs are done.

    Args:
        pipeline: stages of a build.
        only: a stage, or the beginning of its name ("04"); the stages that it needs are run where they must.
        force: run stages whose results are up to date, too.
        echo: is called with each line of the report.

    Returns:
        {stage: wall time in seconds} of the stages that ran.

    Raises:
        PipelineError: a notebook failed, or another run of the same build is under way.
    """
    require("book", "papermill", "ipykernel")
    wanted = pipeline.chosen(only)
    for name in wanted:
        pipeline.check_parameters(name)
    with _lock(pipeline), chdir(pipeline.root):
        if pipeline.data:
            link = pipeline.runs / "data"
            if link.exists() and not link.is_symlink():
                raise PipelineError(f"{link} is not a link that this command made; move it away.")
            link.unlink(missing_ok=True)
            link.symlink_to(pipeline.data)
        seconds = dict[str, float]()
        if pipeline.processes is not None and TRAINING in wanted and (force or pipeline.why(TRAINING)):
            from mammogan.pipeline.training import train

            seconds = _run_stages(pipeline, pipeline.chosen(TRAINING)[:-1], force, echo)
            train(pipeline, echo)
            wanted = [name for name in wanted if name not in seconds]
        return seconds | _run_stages(pipeline, wanted, force, echo)


def _run_stages(pipeline: Pipeline, wanted: list[str], force: bool, echo: Callable[[str], None]) -> dict[str, float]:
    seconds, failures, free = dict[str, float](), list[BaseException](), Semaphore(TOGETHER)
    # Each notebook gets a share of the cores: linear algebra takes all of them otherwise, and waits for them in a loop.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", str(max((os.cpu_count() or 1) // TOGETHER, 1)))
    prepare_threads()  # for the kernels, which share the cores

    def work(name: str) -> None:
        for need in set(pipeline.needs(name)) & threads.keys():
            threads[need].join()
        with free:
            try:
                # After a failure no stage starts; those that are running are finished, and their results kept.
                if failures or not (why := "asked for" if force else pipeline.why(name)):
                    return
                echo(f"{name}: running ({why})")
                seconds[name] = _run_stage(pipeline, name, force)
                echo(f"{name}: {seconds[name]:.1f} s")
            except BaseException as error:  # raised again below, in the thread that asked
                failures.append(error)

    # Daemons do not hold up the end of the runner, and a kernel ends when its runner is gone.
    threads = {name: Thread(target=work, args=(name,), daemon=True) for name in wanted}
    for thread in threads.values():
        thread.start()
    for thread in threads.values():
        thread.join()
    if failures:
        raise failures[0]
    return seconds


def _run_stage(pipeline: Pipeline, stage: str, force: bool) -> float:
    """Execute one notebook and record where its results come from; return the wall time in seconds."""
    from papermill import execute_notebook

    folder, key, parameters = pipeline.folder(stage), pipeline.key(stage), pipeline.parameters(stage)
    attempt, aside = folder / "attempt.json", folder / ".notebook.ipynb"
    # An attempt that was cut off is continued: the store and the run pick up where they were. Another starts clean.
    with writing(folder):
        if (folder.exists() or folder.is_symlink()) and (force or read_key(attempt) != key):
            check_replaceable(folder, RESULTS, [pipeline.data] if pipeline.data else [], "move it away")
            shutil.rmtree(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "key.json").unlink(missing_ok=True)
        if stage == TRAINING:
            from mammogan.pipeline.training import take_run

            take_run(pipeline, folder)
    write_json(attempt, key)
    started = time.perf_counter()
    try:
        execute_notebook(
            str(pipeline.notebook(stage)),
            str(aside),
            parameters=parameters,
            kernel_name="python3",
            progress_bar=sys.stderr.isatty(),
            start_timeout=600,  # seconds; a busy machine needs more than the default of one minute
            cwd=str(pipeline.root),
            # The kernel listens on this machine only; it need not warn of that, nor report its end.
            extra_arguments=["--IPKernelApp.log_level=CRITICAL"],
        )
    except Exception as error:  # papermill, nbclient and jupyter_client share no base class
        raise _failed(pipeline, stage, aside, error) from None
    seconds = time.perf_counter() - started
    for name in ("results.json", *pipeline.stages[stage].makes):
        if not (folder / name).exists():
            raise _failed(pipeline, stage, aside, FileNotFoundError(f"it did not write {name}"))
    files = [folder / "results.json", *sorted((folder / "data").rglob("*.csv"))]
    record = provenance.describe(stage, pipeline.profile, pipeline.values(stage)) | {
        "data": pipeline.data_name,
        "data_hash": _fingerprint(pipeline, stage),
        "seconds": round(seconds, 1),
        "needs": pipeline.needs(stage),
        "notebook": key["the notebook"],
        "modules": provenance.modules(pipeline.code(stage)),
        "files": {path.relative_to(folder).as_posix(): provenance.file_hash(path) for path in files},
    }
    write_json(folder / "provenance.json", record)
    aside.replace(folder / "notebook.ipynb")
    write_json(folder / "key.json", key)
    return seconds


def _failed(pipeline: Pipeline, stage: str, notebook: Path, error: Exception) -> PipelineError:
    """Keep the notebook of a failed stage, and return the error as one sentence."""
    kept = ""
    if notebook.is_file():
        target = pipeline.runs / "failed" / f"{stage}.ipynb"
        target.parent.mkdir(parents=True, exist_ok=True)
        notebook.replace(target)
        kept = f"; the failed notebook is kept as {os.path.relpath(target)}"
    name, value = getattr(error, "ename", type(error).__name__), getattr(error, "evalue", str(error))
    count = getattr(error, "exec_count", None)
    cell = f" in cell [{count}]" if count else ""
    first = next(iter(str(value).strip().splitlines()), "").rstrip(".")
    return PipelineError(f"The notebook {stage} failed{cell}: {name}: {first}{kept}.")


def _fingerprint(pipeline: Pipeline, stage: str) -> str:
    """Return the hash of the images that the results of a stage rest on; "" where there are none."""
    for path in pipeline.kept(stage):
        for folder in (path, *path.parents):
            if (path := folder / "provenance.json").is_file():
                return str(facts(path, "data_hash")["data_hash"])
    for name in pipeline.chosen(stage):
        store = pipeline.folder(name) / "store" / "zarr.json"
        if store.is_file():
            return json.loads(store.read_text())["attributes"].get("fingerprint", "")
    return ""


@contextmanager
def _lock(pipeline: Pipeline) -> Iterator[None]:
    """Keep other runs of the same build out."""
    with writing(pipeline.runs):
        pipeline.runs.mkdir(parents=True, exist_ok=True)
        file = (pipeline.runs / ".lock").open("w")
    with file:
        lock(file, PipelineError(f"Another run of {pipeline.name} is under way; wait for it or stop it."))
        yield
