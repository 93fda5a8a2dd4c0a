"""The wheel, outside of any checkout: with what it asks for and nothing else, the commands run."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import urllib.request
import venv
import zipfile
from collections.abc import Iterable
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from mammogan.report.provenance import ROOT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (ROOT / "node_modules/openseadragon").is_dir(), reason="node_modules is missing: make setup"
    ),
]
SOURCES = ("mammogan", "pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE")
TRAINING = ("levels=2", "latent=8", "fmap_max=8", "fmap_base=32", "batches=4", "total_images=64")
TRAINING += ("stable_images=16", "fade_images=16")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a wheel of this checkout, built from a copy, so that nothing is left in the checkout."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, source / name)
    (source / "node_modules").symlink_to(ROOT / "node_modules")
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--wheel-dir", str(target), str(source)], check=True)
    return next(target.glob("mammogan-*.whl"))


def closure(requirements: Iterable[str], extras: Iterable[str]) -> set[str]:
    """Return the names of the distributions that requirements ask for, directly or through others."""
    names: set[str] = set()
    queue = [(requirement, tuple(extras)) for requirement in requirements]
    while queue:
        text, chosen = queue.pop()
        requirement = Requirement(text)
        if requirement.marker and not any(requirement.marker.evaluate({"extra": extra}) for extra in ("", *chosen)):
            continue
        name = canonicalize_name(requirement.name)
        known = f"{name}[{','.join(sorted(requirement.extras))}]"
        if known not in names:
            names |= {name, known}
            inner = importlib.metadata.requires(name) or []
            queue += [(line, tuple(requirement.extras)) for line in inner]
    return {name for name in names if "[" not in name}


def environment(folder: Path, wheel: Path, *extras: str) -> Path:
    """Make a virtual environment of the wheel and of what it asks for; return its folder of programs.

    To save an installation, what it asks for is linked from the environment of the tests.
    """
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, str(wheel)], check=True)
    packages = next((folder / "lib").glob("python*")) / "site-packages"
    metadata = next(packages.glob("mammogan-*.dist-info")) / "METADATA"
    asked = re.findall(r"(?m)^Requires-Dist: (.*)$", metadata.read_text(encoding="utf-8"))
    for name in closure(asked, extras):
        files = importlib.metadata.files(name) or []
        for top in {file.parts[0] for file in files} - {"..", "__pycache__"}:
            if not (packages / top).exists():
                (packages / top).symlink_to(Path(importlib.metadata.distribution(name).locate_file(top)))
    return folder / "bin"


def call(program: Path, *arguments: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a program in a folder, without the variables that would lead it to the checkout."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    command = [str(program), *map(str, arguments)]
    return subprocess.run(command, cwd=folder, env=kept, capture_output=True, text=True)


@pytest.fixture(scope="module")
def core(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return environment(tmp_path_factory.mktemp("core"), wheel)


@pytest.fixture(scope="module")
def work(core: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder in which every command of the core has run, from phantoms to an analyzed study."""
    folder = tmp_path_factory.mktemp("work")
    header, row = "reader,question,correct\n", "r{0},{1},{2}\n"
    answers = [row.format(reader, k, (reader * k) % 2) for reader in range(8) for k in range(1, 11)]
    (folder / "answers.csv").write_text(header + "".join(answers))
    settings = [word for setting in TRAINING for word in ("--set", setting)]
    for arguments in (
        "phantom archive --count 32 --height 160 --width 128",
        "ingest archive --store store --height 20 --width 16",
        f"train --store store --run run --profile smoke --device cpu {' '.join(settings)}",
        "sample run --count 32 --format zarr --out synthetic",
        "align store synthetic --out alignment --draws 4 --splits 4 --permutations 4",
        "inspect synthetic --real store --out inspection --count 8 --controls 4",
        "study build store synthetic --out study --seed 1",
        "study analyse answers.csv --out analysis --simulations 99",
    ):
        done = call(core / "mammogan", *arguments.split(), folder=folder)
        assert not done.returncode, f"mammogan {arguments}\n{done.stdout}{done.stderr}"
    return folder


def test_the_package_is_the_wheel_s(core: Path, tmp_path: Path) -> None:
    done = call(core / "python", "-c", "import mammogan; print(mammogan.__file__)", folder=tmp_path)
    assert done.stdout.strip().startswith(str(core.parent / "lib"))


def test_the_wheel_holds_every_file_of_the_package(wheel: Path) -> None:
    packed = set(zipfile.ZipFile(wheel).namelist())
    files = [path for path in (ROOT / "mammogan").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert {path.relative_to(ROOT).as_posix() for path in files} <= packed


def test_the_core_brings_no_server_notebook_or_board(core: Path) -> None:
    packages = {path.name for path in core.parent.glob("lib/python*/site-packages/*")}
    assert {"torch", "pydicom", "zarr"} <= packages
    assert not packages & {"starlette", "uvicorn", "papermill", "ipykernel", "IPython", "jupyter_book", "tensorboard"}


def test_commands_of_the_core_run(work: Path) -> None:
    written = ["alignment/report.html", "inspection/index.html", "analysis/report.html", "study/public/index.html"]
    written += ["study/public/openseadragon.min.js", "study/public/openseadragon.LICENSE.txt"]
    assert [name for name in written if not (work / name).is_file()] == []


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("study serve study", 'starlette is not installed; install it with: pip install "mammogan[study]"'),
        ("train --store store --run other --tensorboard", 'pip install "mammogan[tensorboard]"'),
        ("run", "run this in a checkout of the repository"),
    ],
)
def test_what_is_missing_is_named(core: Path, work: Path, arguments: str, sentence: str) -> None:
    done = call(core / "mammogan", *arguments.split(), folder=work)
    assert done.returncode == 1
    assert sentence in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_study_is_served(wheel: Path, work: Path, tmp_path: Path) -> None:
    bin = environment(tmp_path / "venv", wheel, "study")
    command = [str(bin / "mammogan"), "study", "serve", "study", "--port", "0"]
    process = subprocess.Popen(command, cwd=work, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        addresses = (re.search(r"https?://[\w.:]+", line) for line in process.stdout)
        address = next(found[0] for found in addresses if found)
        with urllib.request.urlopen(f"{address}/openseadragon.min.js", timeout=60) as reply:
            assert reply.status == 200
    finally:
        process.terminate()
        process.wait(20)
    done = call(bin / "mammogan", "study", "export", "study", "--out", "responses.csv", folder=work)
    assert not done.returncode and "0 answers" in done.stdout, done.stderr
