"""The scripts for clusters, as they are shipped: from an archive to the last page of the book, with a preemption."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from mammogan.data.phantom.population import write_population
from mammogan.gan import checkpoints
from mammogan.pipeline import Pipeline
from mammogan.report.provenance import ROOT

EXAMPLES = ROOT / "book" / "examples"
SETTINGS = (
    "latent=16 fmap_base=128 fmap_max=16 stable_images=96 fade_images=96 total_images=768 batches=16,8,4 "
    "learning_rate=0.003 checkpoint_images=0 sample_images=0"
)
# The profile of the scripts at the size of the smoke profile.
PROFILE = {
    "01_preprocessing": {"height": 40, "width": 32, "workers": 2},
    "02_progressive_training": {"profile": "smoke", "settings": SETTINGS, "count": 60},
    "03_artifact_inspection": {"count": 8},
    "04_moment_alignment": {"n": 60, "bootstraps": 10, "permutations": 20, "scenarios": 3},
    "05_reader_statistics": {"simulations": 200, "draws": 2},
    "06_future_work": {
        "settings": "levels=4 latent=8 fmap_base=64 fmap_max=8 stable_images=16 fade_images=16 total_images=128",
        "sizes": "8 16",
        "seeds": 1,
        "steps": 2,
    },
}
# A stand-in for Slurm's command, which starts a program on each node and passes on the scheduler's signal.
SRUN = """#!/bin/bash
"$@" &
program=$!
echo $program > srun.pid
wait $program
"""


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this checkout with a small profile in place of the paper's, and an archive next to it."""
    root = tmp_path_factory.mktemp("cluster") / "checkout"
    shutil.copytree(ROOT / "mammogan", root / "mammogan", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("notebooks", "benchmarks", "reference", "book", "_config.yml", "_toc.yml", "node_modules"):
        (root / name).symlink_to(ROOT / name)
    content = yaml.safe_load((ROOT / "pipeline.yaml").read_text())
    content["profiles"]["paper"] = {"processes": 2, **PROFILE}
    (root / "pipeline.yaml").write_text(yaml.safe_dump(content))
    write_population(root.parent / "archive", 60, 1, height=160, width=128)
    (root / ".venv" / "bin").mkdir(parents=True)
    paths = f"PATH={root / '.venv' / 'bin'}:{Path(sys.executable).parent}:$PATH"
    (root / ".venv" / "bin" / "activate").write_text(f"export {paths} PYTHONPATH={root}\n")
    (root / ".venv" / "bin" / "srun").write_text(SRUN)
    (root / ".venv" / "bin" / "srun").chmod(0o755)
    return root


def lines(run: Path) -> list[dict[str, float]]:
    log = run / "stats.jsonl"
    return [json.loads(line) for line in log.read_text().splitlines()] if log.is_file() else []


def wait_for(run: Path, images: int, process: subprocess.Popen[str]) -> None:
    """Wait until a training has seen so many images."""
    deadline = time.monotonic() + 1800
    while not lines(run) or lines(run)[-1]["images"] < images:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)


def check_interrupted(run: Path) -> int:
    """Check that a run has a checkpoint after its last line, before its end; return its images."""
    images = checkpoints.trained(run).state["images"]
    assert lines(run)[-1]["images"] <= images < 768
    return images


def interrupt(
    run: Path, start: Callable[[], subprocess.Popen[str]], stop: Callable[[subprocess.Popen[str]], None]
) -> tuple[int, str, int]:
    """Start a training and stop it; return its exit code, its last output and its images.

    A signal at the end of a phase, where there is a checkpoint without it, shows nothing: then it goes on to the next.
    """
    for images in range(160, 768, 112):
        process = start()
        wait_for(run, images, process)
        stop(process)
        said, wrong = process.communicate(timeout=300)
        seen = check_interrupted(run)
        if seen % 96:
            return process.returncode, wrong or said, seen
    raise AssertionError("Every signal came at the end of a phase.")


def check_finished(run: Path, interrupted: int) -> None:
    counts = [line["images"] for line in lines(run)]
    assert counts == sorted(set(counts)) and counts[0] < interrupted < counts[-1] == 768


@pytest.mark.slow
def test_the_script_for_slurm_leads_from_the_archive_to_the_last_page(checkout: Path) -> None:
    run = checkout / "runs" / "paper-archive" / "run"
    slurm = {"SLURM_JOB_NUM_NODES": "1", "SLURM_GPUS_ON_NODE": "2", "SLURM_JOB_ID": "1"}
    environment = {**os.environ, **slurm, "ARCHIVE": "../archive"}
    script = ["bash", str(EXAMPLES / "slurm.sh")]

    def submit() -> subprocess.Popen[str]:
        return subprocess.Popen(
            script, cwd=checkout, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def preempt(job: subprocess.Popen[str]) -> None:
        os.kill(int((checkout / "srun.pid").read_text()), signal.SIGTERM)

    code, said, images = interrupt(run, submit, preempt)
    assert code != 0 and "SIGTERM stopped the training" in said, said
    again = submit()
    said, _ = again.communicate(timeout=3600)
    assert again.returncode == 0, said
    assert "01_preprocessing: running" not in said  # the store was made by the first job
    check_finished(run, images)
    book = checkout / "_build" / "paper-archive" / "html"
    assert f"The book is {book / 'index.html'}" in said
    pages = re.findall(r"- file: (\S+)", (ROOT / "_toc.yml").read_text())
    assert len(pages) > 10
    assert all((book / f"{page}.html").is_file() for page in pages)
    up_to_date = Pipeline("paper", checkout.parent / "archive", root=checkout)
    assert not any(up_to_date.why(stage) for stage in up_to_date.stages)
    shutil.rmtree(run)
    assert "02_progressive_training" in up_to_date.stages and up_to_date.why("02_progressive_training")


@pytest.mark.slow
def test_the_job_for_kubernetes_trains_on_several_processes_and_obeys_the_kubelet(checkout: Path) -> None:
    """The kubelet sends SIGTERM to the first process of the container alone."""
    job = yaml.safe_load((EXAMPLES / "kubernetes.yaml").read_text())
    (container,) = job["spec"]["template"]["spec"]["containers"]
    archive = (checkout.parent / "archive").rename(checkout.parent / "pod")
    words = [word.replace("/archive", str(archive)) for word in container["args"]]
    command = [sys.executable, "-m", "mammogan", *words, "--only", "02"]  # the rest is as in the script for Slurm
    run = checkout / "runs" / "paper-pod" / "run"
    environment = {**os.environ, "PYTHONPATH": str(checkout)}

    def start() -> subprocess.Popen[str]:
        return subprocess.Popen(
            command, cwd=checkout, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    code, wrong, images = interrupt(run, start, subprocess.Popen.terminate)
    assert code == 143
    assert (
        wrong.splitlines()[-1] == "mammogan: SIGTERM stopped the training; it is saved, and the same command continues."
    )
    again = start()
    said, wrong = again.communicate(timeout=1800)
    assert again.returncode == 0, wrong
    assert "training on 2 processes" in said
    check_finished(run, images)
    results = checkout / "runs" / "paper-pod" / "02_progressive_training"
    assert (results / "run").resolve() == run and (results / "synthetic" / "zarr.json").is_file()
    assert Pipeline("paper", archive, root=checkout).why("02_progressive_training") == ""
