"""The origin of results: commit, code, parameters, versions, device and data."""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import json
import os
import platform
import subprocess
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

# The checkout, which holds the notebooks and the book next to the package; elsewhere the folder of installed packages.
ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("torch", "numpy", "scipy", "scikit-learn", "scikit-posthocs", "statsmodels", "pydicom", "zarr", "papermill")

# Python 3.11 counts the depth of a syntax tree for all threads together: two at once end in a SystemError now and then.
PARSING = Lock()


def sha256(*parts: str | bytes) -> str:
    """Return the SHA-256 of parts, each preceded by its length, so that moving a border changes the hash."""
    digest = hashlib.sha256()
    for part in parts:
        content = part.encode() if isinstance(part, str) else part
        digest.update(f"{len(content)}:".encode() + content)
    return digest.hexdigest()


def file_hash(path: Path) -> str:
    """Return the SHA-256 of the content of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def tree_hash(path: Path) -> str:
    """Return the hash of the listing of a folder or of one file: relative path, size and time of the last change.

    Content is not read: a million files are listed in seconds but read in hours, and an archive is not edited in place.
    """
    files: Iterable[Path] = [path]
    if path.is_dir():
        files = (Path(top) / name for top, _, names in sorted(os.walk(path)) for name in sorted(names))
    digest = hashlib.sha256()
    for file in files:
        facts = file.stat()
        digest.update(f"{file.relative_to(path.parent)}\0{facts.st_size}\0{facts.st_mtime_ns}\0".encode())
    return digest.hexdigest()


def contents(path: Path, skip: str = "") -> list[bytes]:
    """Return names and contents of the files of a folder, but for folders named `skip`; of a file its content."""
    if path.is_file():
        return [path.read_bytes()]
    files = sorted(p for p in path.rglob("*") if p.is_file() and not {skip, "__pycache__"} & set(p.parts))
    return [part for file in files for part in (str(file.relative_to(path)).encode(), file.read_bytes())]


def notebook_hash(path: Path) -> str:
    """Return the hash of the cells of a notebook and their metadata, without outputs."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return sha256(json.dumps([[c["cell_type"], "".join(c["source"]), c["metadata"]] for c in cells], sort_keys=True))


def commit() -> tuple[str, bool]:
    """Return the commit of the checkout and whether tracked files differ from it; ("unknown", False) outside of one."""
    # A copy or an installed package may be inside of somebody else's repository, which git would find from there, or
    # by its variables where it calls a hook.
    repository = ["git", f"--git-dir={ROOT / '.git'}", f"--work-tree={ROOT}"]

    def git(*arguments: str) -> str:
        return subprocess.run([*repository, *arguments], capture_output=True, text=True, check=True).stdout

    if not (ROOT / "pipeline.yaml").is_file():  # a package that is installed at the top of a repository
        return "unknown", False
    try:
        return git("rev-parse", "HEAD").strip(), bool(git("status", "--porcelain", "--untracked-files=no").strip())
    except (OSError, subprocess.CalledProcessError):
        return "unknown", False


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that results depend on."""
    numbers = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            numbers[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            numbers[package] = "missing"
    return numbers


def device() -> str:
    """Return the processor or GPU in words, without the name of the machine."""
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        names = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    except (OSError, subprocess.CalledProcessError):
        names = []
    if names:
        return f"{len(names)} x {names[0].strip()}"
    return f"CPU, {os.cpu_count()} cores ({platform.machine()})"


def now() -> str:
    """Return date and time, UTC, ISO 8601, whole seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def imported_names(source: str) -> set[str]:
    """Return the dotted names that a Python source imports, as "package.module" and "package.module.name"."""
    names: set[str] = set()
    with PARSING:
        tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    # Importing a module runs the packages above it.
    return {".".join(parts[:end]) for name in names for parts in [name.split(".")] for end in range(1, len(parts) + 1)}


@cache
def _imported_files(source: str) -> frozenset[Path]:
    names = [name for name in imported_names(source) if name.split(".")[0] == "mammogan"]
    # The runner starts a notebook and finds its folders; no result depends on it.
    modules = [ROOT.joinpath(*name.split(".")) for name in names if not name.startswith("mammogan.pipeline")]
    return frozenset(p for m in modules for p in (m.with_suffix(".py"), m / "__init__.py") if p.is_file())


@cache
def _data_files(module: Path) -> frozenset[Path]:
    """Return the files next to a module that it reads: those with its own name, and those that its source names."""
    source = module.read_text(encoding="utf-8")
    files = (path for path in module.parent.iterdir() if path.is_file() and path.suffix != ".py")
    return frozenset(path for path in files if path.stem == module.stem or path.name in source)


def imports(sources: Iterable[str]) -> set[Path]:
    """Return the modules of the package that sources import, directly or through others, and the files they read.

    The runner is left out.
    """
    files: set[Path] = set()
    queue = list(sources)
    while queue:
        for module in _imported_files(queue.pop()) - files:
            files |= {module} | _data_files(module)
            queue.append(module.read_text(encoding="utf-8"))
    return files


def modules(sources: Iterable[str]) -> dict[str, str]:
    """Return the files of `imports` with their hashes: {path below the root: SHA-256}."""
    return {path.relative_to(ROOT).as_posix(): file_hash(path) for path in sorted(imports(sources))}


def code_hash(sources: Iterable[str]) -> str:
    """Return one hash of `modules`."""
    return sha256(*(part for pair in modules(sources).items() for part in pair))


def changes(record: dict[str, Any], root: Path = ROOT) -> list[str] | None:
    """Return the code of a result that has changed in `root` since, by the record of the result.

    Returns:
        sorted paths of modules and of the notebook, below the root, that are different or missing; None where the
        record does not name its code.
    """
    if "modules" not in record or "notebook" not in record:
        return None
    before = {root / path: value for path, value in record["modules"].items()}
    changed = [path for path, value in before.items() if not path.is_file() or file_hash(path) != value]
    notebook = root / "notebooks" / f"{record['stage']}.ipynb"
    if not notebook.is_file() or notebook_hash(notebook) != record["notebook"]:
        changed.append(notebook)
    return sorted(path.relative_to(root).as_posix() for path in changed)


def describe(stage: str, profile: str, parameters: dict[str, object]) -> dict[str, object]:
    """Return the record of a run as far as it does not depend on the results: the beginning of its provenance.json."""
    revision, dirty = commit()
    return {
        "stage": stage,
        "profile": profile,
        "commit": revision,
        "dirty": dirty,
        "date": now(),
        "device": device(),
        "seed": parameters.get("seed"),
        "parameters": parameters,
        "versions": versions(),
    }
