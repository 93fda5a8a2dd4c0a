"""Compare the output of two states of the code: stores, runs, studies, reports and the numbers of the notebooks.

    python benchmarks/compare_builds.py make OUT [--profiles smoke reference reference-phantoms]
    python benchmarks/compare_builds.py compare OLD NEW

`make` runs every command with fixed seeds on phantoms, and the named profiles, with the package that this Python
imports; run it once in each checkout. `compare` compares the two folders. Dates, durations, versions, commits and
hashes of code are left out. Sentences (labels, captions, error messages) are counted apart from numbers: they may
change, numbers may not.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

PROFILES = ("smoke", "reference", "reference-phantoms")
# Keys of JSON files that differ between two runs of the same code, or that name the code.
VOLATILE = {
    "date", "commit", "dirty", "versions", "modules", "notebook", "seconds", "started", "device", "code", "files",
    "images_per_second", "data_hash", "made", "time", "key", "hash", "commits", "minutes", "finished",
}  # fmt: skip
# Results whose value is a duration.
TIMED = ("speed", "seconds", "minutes", "hours", "per_second", "took", "cost.")
TEXT = {".html", ".md", ".css", ".js", ".txt", ".svg"}
TRAINING = ["total_images=6400", "stable_images=800", "fade_images=800", "sample_images=1600"]
TRAINING += ["checkpoint_images=1600", "condition=view"]


def command(*arguments: str | Path) -> None:
    """Run one command of the package that this Python imports."""
    print("mammogan", *arguments, flush=True)
    subprocess.run([sys.executable, "-m", "mammogan", *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)


def answers(path: Path) -> Path:
    """Write the answers of 30 simulated readers of ten questions, with two traits and pairs of images."""
    rng = np.random.default_rng(7)
    rows = []
    for reader in range(30):
        skill = rng.normal(0.1, 0.3)
        for question in range(1, 11):
            real, synthetic = rng.integers(0, 40, 2)
            row = {"reader": f"r{reader:02d}", "session": reader, "question": question}
            row |= {"correct": int(rng.random() < 1 / (1 + math.exp(-skill))), "seconds": round(rng.gamma(3, 4), 2)}
            row |= {"real_id": f"real{real}", "synthetic_id": f"synthetic{synthetic}"}
            row |= {"radiologist": ["no", "yes"][reader % 2]}
            rows.append(row)
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def make(out: Path, profiles: list[str]) -> None:
    """Run every command on a small archive of phantoms, then the profiles; write everything below `out`."""
    out.mkdir(parents=True)
    archive, store, run = out / "archive", out / "store", out / "run"
    (out / "store.salt").write_text("0" * 32)  # hashes of patients are salted; a fixed salt makes them comparable
    command("phantom", archive, "--count", "48", "--seed", "3", "--height", "320", "--width", "256")
    command("ingest", archive, "--store", store, "--height", "80", "--width", "64")
    settings = [part for setting in TRAINING for part in ("--set", setting)]
    command("train", "--store", store, "--run", run, "--profile", "smoke", "--device", "cpu", *settings)
    for form in ("png", "zarr", "dicom"):
        command("sample", run, "--count", "40", "--seed", "5", "--out", out / form, "--format", form)
    command("sample", run, "--count", "4", "--seed", "5", "--out", out / "film", "--format", "film")
    command("inspect", out / "zarr", "--real", store, "--out", out / "inspection", "--count", "20", "--controls", "4")
    command("align", store, out / "zarr", "--out", out / "alignment", "--draws", "10", "--permutations", "20")
    command("study", "build", store, out / "zarr", "--out", out / "study", "--seed", "11")
    command("study", "analyse", answers(out / "answers.csv"), "--out", out / "analysis", "--simulations", "199")
    for profile in profiles:
        print("notebooks of the profile", profile, flush=True)
        subprocess.run([sys.executable, "-m", "mammogan", "run", "--profile", profile, "--no-book"], check=True)
        for stage in sorted(Path("runs", profile).iterdir()):
            if (stage / "results.json").is_file():
                kept = out / "profiles" / profile / stage.name
                kept.mkdir(parents=True)
                shutil.copy(stage / "results.json", kept)
                for part in ("data", "figures"):
                    if (stage / part).is_dir():
                        shutil.copytree(stage / part, kept / part)


def american(name: str) -> str:
    """Return a stored name in American spelling: one word of results and file names was British once."""
    return name.replace("memorisation", "memorization")


class Comparison:
    """Differences between two trees of files, by kind.

    Attributes:
        counts: {kind: number}; kinds are "same", "number", "text", "picture", "bytes" and "missing".
        lines: one line per difference that is not text.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.lines: list[str] = []

    def differ(self, kind: str, where: str, what: str = "") -> None:
        """Count a difference; those of text are counted only."""
        self.counts[kind] += 1
        if kind != "text":
            self.lines.append(f"{kind:8s} {where} {what}".rstrip())

    def values(self, old: Any, new: Any, where: str) -> None:
        """Compare two values of JSON, key by key."""
        if isinstance(old, dict) and isinstance(new, dict):
            old, new = ({american(key): value for key, value in side.items()} for side in (old, new))
            for key in sorted(old.keys() | new.keys()):
                if key in VOLATILE or any(word in key for word in TIMED):
                    continue
                if (key in old) != (key in new):
                    self.differ("missing", f"{where}/{key}", "only in the " + ("old" if key in old else "new"))
                else:
                    self.values(old[key], new[key], f"{where}/{key}")
        elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
            for index, (a, b) in enumerate(zip(old, new, strict=True)):
                self.values(a, b, f"{where}[{index}]")
        elif isinstance(old, str) and isinstance(new, str):
            self.counts["same"] += old == new
            if old != new:
                self.differ("text", where)
        elif old == new:
            self.counts["same"] += 1
        else:
            self.differ("number", where, f"{old!r} -> {new!r}")

    def tables(self, old: pd.DataFrame, new: pd.DataFrame, where: str) -> None:
        """Compare two tables by position; names of columns are text."""
        if old.shape != new.shape:
            self.differ("number", where, f"shape {old.shape} -> {new.shape}")
            return
        for index, (a, b) in enumerate(zip(old.columns, new.columns, strict=True)):
            if a != b:
                self.differ("text", f"{where}[{index}]")
            if any(word in str(a) for word in TIMED):
                continue
            first, second = old.iloc[:, index].tolist(), new.iloc[:, index].tolist()
            for row, pair in enumerate(zip(first, second, strict=True)):
                if str(pair[0]) == str(pair[1]):
                    self.counts["same"] += 1
                else:
                    text = all(isinstance(value, str) for value in pair)
                    self.differ("text" if text else "number", f"{where}:{row}:{a}", f"{pair[0]!r} -> {pair[1]!r}")

    def files(self, old: Path, new: Path, where: str) -> None:
        """Compare two files of the same name."""
        if old.read_bytes() == new.read_bytes():
            self.counts["same"] += 1
        elif old.suffix == ".json":
            self.values(json.loads(old.read_text()), json.loads(new.read_text()), where)
        elif old.suffix == ".jsonl":
            pair = [[json.loads(line) for line in path.read_text().splitlines()] for path in (old, new)]
            self.values(*pair, where)
        elif old.suffix == ".csv":
            self.tables(pd.read_csv(old), pd.read_csv(new), where)
        elif old.suffix == ".parquet":
            self.tables(pd.read_parquet(old), pd.read_parquet(new), where)
        elif old.suffix == ".png":
            pixels = [np.asarray(Image.open(path)) for path in (old, new)]
            if pixels[0].shape != pixels[1].shape or (pixels[0] != pixels[1]).any():
                self.differ("picture", where)
        elif old.suffix in TEXT:
            self.differ("text", where)
        else:
            self.differ("bytes", where)


def tree(folder: Path) -> set[str]:
    """Return the relative paths of all files below a folder, without logs of speed and locks."""
    skipped = {"timing.jsonl", ".lock"}
    every = (Path(top) / name for top, _, names in os.walk(folder) for name in names if name not in skipped)
    return {path.relative_to(folder).as_posix() for path in every}


def compare(old: Path, new: Path) -> int:
    """Print all differences except those of text, and a table of counts; return the number of those printed."""
    comparison = Comparison()
    before, after = ({american(name): name for name in tree(folder)} for folder in (old, new))
    for name in sorted(before.keys() ^ after.keys()):
        comparison.differ("missing", name, "only in the " + ("old" if name in before else "new"))
    for name in sorted(before.keys() & after.keys()):
        comparison.files(old / before[name], new / after[name], name)
    print(*comparison.lines[:200], sep="\n")
    if len(comparison.lines) > 200:
        print(f"... and {len(comparison.lines) - 200} more")
    print(f"{len(before)} files before, {len(after)} after")
    for kind in ("same", "text", "number", "picture", "bytes", "missing"):
        print(f"{kind:8s} {comparison.counts[kind]}")
    return len(comparison.lines)


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    making = commands.add_parser("make", help="run everything into a folder")
    making.add_argument("out", type=Path)
    making.add_argument("--profiles", nargs="*", default=list(PROFILES))
    comparing = commands.add_parser("compare", help="compare two such folders")
    comparing.add_argument("old", type=Path)
    comparing.add_argument("new", type=Path)
    given = parser.parse_args()
    if given.command == "make":
        make(given.out.resolve(), given.profiles)
    else:
        sys.exit(min(compare(given.old, given.new), 1))


if __name__ == "__main__":
    main()
