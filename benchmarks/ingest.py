"""Measure the speed of the ingest against the least work of any ingest and against code that a user would write.

    python benchmarks/ingest.py [--repeats 3] [--images 72]

Sources are phantoms of 3000 x 2400 pixels in three encodings (JPEG lossless needs dcmcjpeg of DCMTK). Runs on one core
are pinned to it, children included. Each run is measured twice: by the clock, and by its processor time, children
included, which other work on the machine does not change. Needs scikit-image. The tables are printed and kept as
benchmarks/results/ingest.md and .json.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from unittest.mock import patch

import numpy as np
import psutil
import pydicom
import zarr
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut
from scipy import sparse
from skimage.transform import resize as naive_resize

from mammogan.data import dicom
from mammogan.data import ingest as stage
from mammogan.data.averaging import area_weights
from mammogan.data.decoders import decoded
from mammogan.data.dicom_writer import Encoding, write
from mammogan.data.ingest import Settings, ingest
from mammogan.data.phantom.render import render
from mammogan.data.store import Store
from mammogan.parallel import KEPT, keep_memory
from mammogan.types import counted

RESULT = Path(__file__).parent / "results" / "ingest"
HEIGHT, WIDTH = 1280, 1024
SKIP = 8  # images until everything is running
ARCHIVE = 1_300_000  # images of the paper's archive
ENCODINGS = ("uncompressed", "JPEG lossless", "JPEG 2000")
# The steps of one image, in order; the rest of the whole is Python between the steps.
STEPS = (
    ("read the file", stage, "read_content"),
    ("SHA-256 of the file", stage, "digest_of"),
    ("parse the header", dicom.pydicom, "dcmread"),
    ("decode", dicom, "decoded"),
    ("check the bits", dicom, "stored_values"),
    ("table of the display transform", dicom, "display"),
    ("is it a breast, which side", stage, "check_breast"),
    ("is it a breast, which side", stage, "turning"),
    ("is it a breast, which side", stage, "side_of"),
    ("look-up and area average", stage, "fit"),
    ("pyramid of nine levels", stage, "pyramid"),
    ("flags: metal, markers, text", stage, "flags_of"),
    ("compress and hash the levels", stage, "encode"),
)


class Stopwatch:
    """Images per second, by the clock and by the processor time of this process and its children."""

    def __init__(self) -> None:
        self.clock, self.cpu = time.perf_counter(), self.used()

    @staticmethod
    def used() -> float:
        """Return the processor time of this process and its children, seconds."""
        total = 0.0
        for process in (psutil.Process(), *psutil.Process().children(recursive=True)):
            times = process.cpu_times()
            total += times.user + times.system
        return total

    def rates(self, images: int) -> dict[str, float]:
        """Return images per second since the start, by both clocks."""
        return {"clock": images / (time.perf_counter() - self.clock), "cpu": images / (self.used() - self.cpu)}


def write_sources(folder: Path, images: int) -> None:
    """Write files in three encodings: a few phantoms, shifted so that no two images are equal."""
    drawn = [render(1, 0, view, side, height=3000, width=2400) for view in ("CC", "MLO") for side in "LR"]
    for name in ENCODINGS:
        (folder / name).mkdir()
    for number in range(images):
        phantom = drawn[number % len(drawn)]
        pixels = np.roll(phantom.pixels, 8 * (number // len(drawn)), axis=0)
        header = replace(phantom.header, identity=replace(phantom.header.identity, key=f"{number}"))
        file = f"{number:04d}.dcm"
        plain = folder / "uncompressed" / file
        write(plain, pixels, header)
        write(folder / "JPEG 2000" / file, pixels, header, Encoding(compressed=True))
        if shutil.which("dcmcjpeg"):
            subprocess.run(["dcmcjpeg", "+e1", str(plain), str(folder / "JPEG lossless" / file)], check=True)


def floor(files: list[Path], _: Path) -> dict[str, float]:
    """Decode with the decoder of the ingest, resize once, and do nothing else.

    The floor is the same since the first measurement: pydicom reads the file, SciPy's sparse products average areas.
    """
    watch = Stopwatch()
    for path in files:
        sparse_resize(decoded(pydicom.dcmread(path)))
    return watch.rates(len(files))


def sparse_resize(image: np.ndarray) -> np.ndarray:
    """Average areas by sparse products, block by block in the cache."""
    rows, columns = averaging_matrix(image.shape[0], HEIGHT), averaging_matrix(image.shape[1], WIDTH)
    image, shrunk = image.astype(np.float32), np.empty((HEIGHT, WIDTH), np.float32)
    for start in range(0, HEIGHT, 64):
        block = slice(start, start + 64)
        shrunk[block] = (columns @ (rows[block] @ image).T).T
    return np.clip(shrunk, 0, 1, out=shrunk)


@lru_cache
def averaging_matrix(source: int, target: int) -> sparse.csr_array:
    """Return the weights of `area_weights` as a matrix (target, source)."""
    first, weights = area_weights(source, target)
    cells = np.broadcast_to(np.arange(target), weights.shape)
    samples, kept = first + np.arange(len(weights))[:, None], weights > 0
    return sparse.csr_array((weights[kept], (cells[kept], samples[kept])), shape=(target, source))


def naive(files: list[Path], folder: Path) -> dict[str, float]:
    """Run code that a user would write: pydicom's window, scikit-image's antialiased resize, one .npy per image."""
    files = files[:12]
    watch = Stopwatch()
    for path in files:
        dataset = pydicom.dcmread(path)
        displayed = apply_voi_lut(apply_modality_lut(dataset.pixel_array, dataset), dataset)
        np.save(folder / path.stem, naive_resize(displayed, (HEIGHT, WIDTH), anti_aliasing=True).astype(np.float32))
    return watch.rates(len(files))


def ours(files: list[Path], folder: Path, workers: int) -> dict[str, float]:
    """Run the whole ingest; the time is from the image after `SKIP` to the finished store."""
    watch, cpu, parent = Stopwatch(), 0.0, 0.0

    def progress(task: str, done: int, total: int = 0, note: str = "") -> None:
        nonlocal watch, cpu, parent
        if done == SKIP:
            watch = Stopwatch()
        if done == len(files):  # the time of children is unknown once they have ended
            cpu, parent = watch.used() - watch.cpu, time.process_time()

    settings = Settings(height=HEIGHT, width=WIDTH)
    store = ingest([files[0].parent], folder / "store", settings, workers=workers, progress=progress)
    assert len(store) == len(files), store.refused["sentence"].unique()
    cpu += time.process_time() - parent
    return {"clock": watch.rates(len(files) - SKIP)["clock"], "cpu": (len(files) - SKIP) / cpu}


def steps(files: list[Path], _: Path) -> dict[str, float]:
    """Return milliseconds of processor time per image and step, medians; "whole" is all of `read_source`."""
    keep_memory(KEPT)  # as children do
    spent: dict[str, list[float]] = {"whole": []}

    def timed(label: str, function: Callable) -> Callable:
        def call(*arguments: object, **named: object) -> object:
            started = time.process_time()
            try:
                return function(*arguments, **named)
            finally:
                spent[label][-1] += 1e3 * (time.process_time() - started)

        return call

    with ExitStack() as stack:
        for label, module, name in STEPS:
            spent[label] = []
            stack.enter_context(patch.object(module, name, timed(label, getattr(module, name))))
        for path in files:
            for times in spent.values():
                times.append(0.0)
            timed("whole", stage.read_source)(path, None, Settings(height=HEIGHT, width=WIDTH))
    return {label: float(np.median(times)) for label, times in spent.items()}


def measured_on(cores: int, measure: Callable[..., dict[str, float]], *arguments: object) -> dict[str, float]:
    """Run a measurement in a fresh process on a number of cores, which its children inherit."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), _keep_to, (cores,)) as pool:
        return pool.submit(measure, *arguments).result()


def _keep_to(cores: int) -> None:
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])


def reads(store: Store, folder: Path, seconds: float = 1.0) -> list[dict[str, float]]:
    """Return random reads per second of processor time per level: from the store, through zarr, from a memory map."""
    rng = np.random.default_rng(0)
    rows = []
    for size in store.sizes:
        level = store.images(size)
        path = folder / "raw.npy"
        np.save(path, level[:])
        row: dict[str, float] = {"height": size[0], "width": size[1]}
        sources = {
            "store": level,
            "zarr": zarr.open_array(level.path, mode="r"),
            "memmap": np.load(path, mmap_mode="r"),
        }
        for name, source in sources.items():
            count, watch = 0, Stopwatch()
            while time.perf_counter() - watch.clock < seconds:
                np.array(source[int(rng.integers(len(store)))])
                count += 1
            row[name] = watch.rates(count)["cpu"]
        rows.append(row)
    return rows


def main() -> None:
    """Parse the command line, measure, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--images", type=int, default=72)
    options = parser.parse_args()
    measured: dict[str, dict[str, list[dict[str, float]]]] = {}
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        write_sources(root, options.images)
        for repeat in range(options.repeats):
            for encoding in ENCODINGS:
                files = sorted((root / encoding).iterdir())
                if not files:
                    print(f"{encoding}: dcmcjpeg is not installed; left out")
                    continue
                sizes = measured.setdefault(encoding, {})
                out = root / "out"
                for what, cores, measure, *arguments in (
                    ("floor", 1, floor, files, out),
                    ("naive", 1, naive, files, out),
                    ("one", 1, ours, files, out, 1),
                    ("two", 2, ours, files, out, 2),
                    ("steps", 1, steps, files[:12], out),
                ):
                    shutil.rmtree(out, ignore_errors=True)
                    (root / "out").mkdir()
                    (root / "store.salt").unlink(missing_ok=True)
                    sizes.setdefault(what, []).append(measured_on(cores, measure, *arguments))
                    if what == "two" and repeat == options.repeats - 1:
                        shutil.rmtree(root / "kept", ignore_errors=True)
                        (out / "store").rename(root / "kept")
                    print(f"{repeat + 1} {encoding}: {what} {sizes[what][-1]}", flush=True)
        store = Store.open(root / "kept")
        size = sum(path.stat().st_size for path in store.path.rglob("*") if path.is_file()) / len(store)
        random_reads = reads(store, root)
    report = {
        "date": datetime.now(UTC).date().isoformat(),
        "device": f"{platform.machine()}, {os.cpu_count()} cores",
        "load": os.getloadavg()[2],
        "images": options.images,
        "repeats": options.repeats,
        "measured": measured,
        "bytes_per_image": size,
        "reads": random_reads,
    }
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.with_suffix(".json").write_text(json.dumps(report, indent=1) + "\n")
    RESULT.with_suffix(".md").write_text(table(report))
    print(table(report))


def table(report: dict) -> str:
    """Return the results as Markdown. Ratios are medians over the repeats of ratios within a repeat."""
    lines = [
        f"{report['date']}; {report['device']}, load {report['load']:.1f} over 15 minutes; "
        f"{counted(report['repeats'], 'repeat')} of {report['images']} phantoms of 3000 x 2400 pixels, 12 bits, to "
        "1280 x 1024 with all levels. Images "
        "per second of processor time, children included, medians; *two / one* is by the clock, and says little if the "
        "load is above the number of cores.",
        "",
        "| Source | Floor | What a user would write | Ingest | Ingest / floor | Ingest / user's | Bound of the latter "
        "| Two / one | 1.3 million images on two cores |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for encoding, runs in report["measured"].items():
        cpu = {what: np.array([run["cpu"] for run in runs[what]]) for what in ("floor", "naive", "one", "two")}
        clock = {what: np.array([run["clock"] for run in runs[what]]) for what in ("one", "two")}
        decode = np.median([run["decode"] for run in runs["steps"]]) / 1e3
        middle = {what: float(np.median(values)) for what, values in cpu.items()}
        lines.append(
            f"| {encoding} | {middle['floor']:.2f} | {middle['naive']:.2f} | {middle['one']:.2f} "
            f"| {np.median(cpu['one'] / cpu['floor']):.2f} | {np.median(cpu['one'] / cpu['naive']):.2f} "
            f"| {1 / decode / middle['naive']:.1f} | {np.median(clock['two'] / clock['one']):.2f} "
            f"| {ARCHIVE / (2 * middle['two']) / 3600:.0f} h |"
        )
    whole = report["bytes_per_image"] * ARCHIVE / 1e12
    lines += [
        "",
        "Bound: the speed of decoding alone. "
        f"A store takes {report['bytes_per_image'] / 1e6:.2f} MB per image; {whole:.1f} TB for 1.3 million.",
        "",
        f"| Processor time per image, ms | {' | '.join(report['measured'])} |",
        "|---|" + "---|" * len(report["measured"]),
    ]
    columns = [
        {label: float(np.median([run[label] for run in runs["steps"]])) for label in runs["steps"][0]}
        for runs in report["measured"].values()
    ]
    labels = list(dict.fromkeys(label for label, _, _ in STEPS))
    for label in labels:
        lines.append(f"| {label} | {' | '.join(f'{column[label]:.1f}' for column in columns)} |")
    rest = [column["whole"] - sum(column[label] for label in labels) for column in columns]
    parent = [
        1e3 / float(np.median([run["cpu"] for run in runs["one"]])) - column["whole"]
        for runs, column in zip(report["measured"].values(), columns, strict=True)
    ]
    lines += [
        f"| selection and the rest of the child | {' | '.join(f'{value:.1f}' for value in rest)} |",
        f"| between processes, duplicates, shards, manifest | {' | '.join(f'{value:.1f}' for value in parent)} |",
        "",
        "| Level | Random reads per second, store | The same files through zarr | Raw memory map |",
        "|---|---|---|---|",
        *(
            f"| {row['height']} x {row['width']} | {row['store']:,.0f} | {row['zarr']:,.0f} | {row['memmap']:,.0f} |"
            for row in report["reads"]
        ),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
