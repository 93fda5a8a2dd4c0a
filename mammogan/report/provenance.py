"""Where a result comes from: commit, parameters, versions, device, seed, data and wall time."""

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

ROOT = Path(__file__).resolve().parents[2]  # a checkout; the pipeline and its notebooks live beside the package
PACKAGES = ("torch", "numpy", "scipy", "scikit-learn", "scikit-posthocs", "statsmodels", "pydicom", "zarr", "papermill")

# Python 3.11 counts the depth of a syntax tree for all threads together: two at once end in a SystemError now and then.
PARSING = Lock()


def sha256(*parts: str | bytes) -> str:
    """SHA-256 over parts, each preceded by its length, so that moving a border changes the hash."""
    digest = hashlib.sha256()
    for part in parts:
        content = part.encode() if isinstance(part, str) else part
        digest.update(f"{len(content)}:".encode() + content)
    return digest.hexdigest()


def commit() -> tuple[str, bool]:
    """(commit, whether tracked files differ from it) of the checkout; ("unknown", False) outside of one."""

    def git(*arguments: str) -> str:
        return subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=True).stdout

    try:
        return git("rev-parse", "HEAD").strip(), bool(git("status", "--porcelain", "--untracked-files=no").strip())
    except (OSError, subprocess.CalledProcessError):
        return "unknown", False


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that results depend on."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "missing"
    return found


def device() -> str:
    """The processor or GPU in words, without the name of the machine."""
    try:
        names = subprocess.run(
            ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"], capture_output=True, text=True, check=True
        ).stdout.splitlines()
        if names:
            return f"{len(names)} x {names[0].strip()}"
    except (OSError, subprocess.CalledProcessError):
        pass
    return f"CPU, {os.cpu_count()} cores ({platform.machine()})"


def now() -> str:
    """Date and time, UTC, ISO 8601, whole seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def tree_hash(folder: Path) -> str:
    """Hash of a folder's listing (relative path, size, time of last change of every file); content is not read.

    A million files are listed in seconds but read in hours, and an archive is not edited in place.
    """
    if folder.is_file():
        folder_files: Iterable[Path] = [folder]
    else:
        folder_files = (Path(top) / name for top, _, names in sorted(os.walk(folder)) for name in sorted(names))
    digest = hashlib.sha256()
    for path in folder_files:
        facts = path.stat()
        digest.update(f"{path.relative_to(folder.parent)}\0{facts.st_size}\0{facts.st_mtime_ns}\0".encode())
    return digest.hexdigest()


@cache
def imports(module: Path) -> frozenset[Path]:
    """The package's own files that a file imports, directly or through others, itself included."""
    found: set[Path] = set()
    queue = [module]
    while queue:
        path = queue.pop()
        if path in found:
            continue
        found.add(path)
        queue += _own(imported_names(path.read_text(encoding="utf-8")))
    return frozenset(found)


def imported_names(source: str) -> set[str]:
    """Dotted names that a Python source imports, as "package.module" and "package.module.name"."""
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


def _own(names: Iterable[str]) -> list[Path]:
    paths = []
    for name in names:
        parts = name.split(".")
        if parts[0] != "mammogan":
            continue
        for candidate in (ROOT.joinpath(*parts).with_suffix(".py"), ROOT.joinpath(*parts) / "__init__.py"):
            if candidate.is_file():
                paths.append(candidate)
    return paths


def modules(sources: Iterable[str]) -> dict[str, str]:
    """The package's files that these sources import, directly or through others: {path below the root: SHA-256}.

    The runner itself is left out: it starts a notebook and finds its folders, and no result depends on it.
    """
    names = {name for source in sources for name in imported_names(source)}
    start = _own(name for name in names if not name.startswith("mammogan.pipeline"))
    files = sorted(set().union(*(imports(path) for path in start)))
    return {path.relative_to(ROOT).as_posix(): file_hash(path) for path in files}


def code_hash(sources: Iterable[str]) -> str:
    """One hash of `modules`."""
    return sha256(*(part for pair in modules(sources).items() for part in pair))


def file_hash(path: Path) -> str:
    """SHA-256 of a file's content."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def notebook_hash(path: Path) -> str:
    """Hash of a notebook's cells and their metadata, without outputs."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return sha256(json.dumps([[c["cell_type"], "".join(c["source"]), c["metadata"]] for c in cells], sort_keys=True))


def changes(record: dict[str, Any], root: Path = ROOT) -> list[str] | None:
    """What has changed in `root` of the code that made a result, by the record that `describe` wrote.

    Returns:
        paths below the root, sorted: modules and the notebook that are no longer as they were, or no longer there;
        None where the record does not say what it was made by.
    """
    if "modules" not in record or "notebook" not in record:
        return None
    found = [
        path
        for path, before in record["modules"].items()
        if not (root / path).is_file() or file_hash(root / path) != before
    ]
    notebook = root / "notebooks" / f"{record['stage']}.ipynb"
    if not notebook.is_file() or notebook_hash(notebook) != record["notebook"]:
        found.append(notebook.relative_to(root).as_posix())
    return sorted(found)


def describe(stage: str, profile: str, parameters: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The record that stands beside a stage's results as provenance.json."""
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
        **more,
    }
