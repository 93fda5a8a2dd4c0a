"""Images a second through the ingest, beside the least that any ingest must do and what a user would write.

    python benchmarks/ingest.py [--repeats 3] [--images 72]

Sources are phantoms of 3000 x 2400 pixels in three encodings (JPEG lossless needs dcmcjpeg of DCMTK). All that is said
to run on one core is held there, children included. The table is printed and kept as benchmarks/results/ingest.md and
.json.
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
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pydicom
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut
from skimage.transform import resize as naive_resize

from mammogan.data.export import build
from mammogan.data.geometry import resize
from mammogan.data.ingest import Settings, ingest
from mammogan.data.phantom import render
from mammogan.data.store import Store

RESULT = Path(__file__).parent / "results" / "ingest"
HEIGHT, WIDTH = 1280, 1024
SKIP = 8  # images until everything is running
ARCHIVE = 1_300_000  # images of the paper's archive
ENCODINGS = ("uncompressed", "JPEG lossless", "JPEG 2000")


def write_sources(folder: Path, images: int) -> None:
    """Files in three encodings: a few phantoms, shifted so that no two images are alike."""
    drawn = [render(1, 0, view, side, height=3000, width=2400) for view in ("CC", "MLO") for side in "LR"]
    for name in ENCODINGS:
        (folder / name).mkdir()
    for number in range(images):
        phantom = drawn[number % len(drawn)]
        pixels = np.roll(phantom.pixels, 8 * (number // len(drawn)), axis=0)
        header = replace(phantom.header, key=f"{number}", inverted=False, compressed=False)
        file = f"{number:04d}.dcm"
        plain = folder / "uncompressed" / file
        build(pixels, header).save_as(plain, enforce_file_format=True)
        build(pixels, replace(header, compressed=True)).save_as(folder / "JPEG 2000" / file, enforce_file_format=True)
        if shutil.which("dcmcjpeg"):
            subprocess.run(["dcmcjpeg", "+e1", str(plain), str(folder / "JPEG lossless" / file)], check=True)


def floor(files: list[Path], _: Path) -> float:
    """Decode and resize once, nothing else."""
    started = time.perf_counter()
    for path in files:
        resize(pydicom.dcmread(path).pixel_array, HEIGHT, WIDTH)
    return len(files) / (time.perf_counter() - started)


def naive(files: list[Path], folder: Path) -> float:
    """What a user would write: pydicom's window, scikit-image's antialiased resize, one .npy an image."""
    files = files[:12]
    started = time.perf_counter()
    for path in files:
        dataset = pydicom.dcmread(path)
        shown = apply_voi_lut(apply_modality_lut(dataset.pixel_array, dataset), dataset)
        np.save(folder / path.stem, naive_resize(shown, (HEIGHT, WIDTH), anti_aliasing=True).astype(np.float32))
    return len(files) / (time.perf_counter() - started)


def ours(files: list[Path], folder: Path, workers: int) -> float:
    """The whole ingest: from the image after `SKIP` to the finished store."""
    started = 0.0

    def progress(done: int, _: int) -> None:
        nonlocal started
        if done == SKIP:
            started = time.perf_counter()

    store = ingest(
        [files[0].parent],
        folder / "store",
        Settings(height=HEIGHT, width=WIDTH),
        workers=workers,
        progress=progress,
    )
    took = time.perf_counter() - started
    assert len(store) == len(files), store.refused["sentence"].unique()
    return (len(files) - SKIP) / took


def measured_on(cores: int, measure: Callable[..., float], *arguments: object) -> float:
    """Run a measurement in a fresh process that may use so many cores; what it starts inherits that."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), _keep_to, (cores,)) as pool:
        return pool.submit(measure, *arguments).result()


def _keep_to(cores: int) -> None:
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])


def reads(store: Store, folder: Path, seconds: float = 1.0) -> list[dict[str, float]]:
    """Random reads a second of single images at every level, from the store and from a raw memory map."""
    rng = np.random.default_rng(0)
    rows = []
    for size in store.sizes:
        array = store.images(size)
        path = folder / "raw.npy"
        np.save(path, array[:])
        rates = []
        for source in (array, np.load(path, mmap_mode="r")):
            count, started = 0, time.perf_counter()
            while time.perf_counter() - started < seconds:
                np.array(source[int(rng.integers(len(store)))])
                count += 1
            rates.append(count / (time.perf_counter() - started))
        rows.append({"height": size[0], "width": size[1], "store": rates[0], "memmap": rates[1]})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--images", type=int, default=72)
    options = parser.parse_args()
    measured: dict[str, dict[str, list[float]]] = {}
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
                ):
                    shutil.rmtree(out, ignore_errors=True)
                    (root / "out").mkdir()
                    (root / "store.salt").unlink(missing_ok=True)
                    sizes.setdefault(what, []).append(measured_on(cores, measure, *arguments))
                    print(f"{repeat + 1} {encoding}: {what} {sizes[what][-1]:.2f} images/s", flush=True)
        store = Store.open(root / "out" / "store")
        size = sum(path.stat().st_size for path in store.path.rglob("*") if path.is_file()) / len(store)
        random_reads = reads(store, root)
    report = {
        "date": datetime.now(UTC).date().isoformat(),
        "device": f"{platform.machine()}, {os.cpu_count()} cores",
        "images": options.images,
        "repeats": options.repeats,
        "rates": measured,
        "bytes_per_image": size,
        "reads": random_reads,
    }
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.with_suffix(".json").write_text(json.dumps(report, indent=1) + "\n")
    RESULT.with_suffix(".md").write_text(table(report))
    print(table(report))


def table(report: dict) -> str:
    """The results as Markdown. Ratios are medians over the repeats of ratios within a repeat."""
    lines = [
        f"{report['date']}; {report['device']}; {report['repeats']} repeats of {report['images']} phantoms of "
        "3000 x 2400 pixels, 12 bits, to 1280 x 1024 with all levels. Images a second, medians.",
        "",
        "| Source | Floor | What a user would write | One core | Two cores | One core / floor "
        "| One core / user's | Two / one | 1.3 million images on two cores |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for encoding, rates in report["rates"].items():
        rate = {what: np.array(values) for what, values in rates.items()}
        middle = {what: float(np.median(values)) for what, values in rate.items()}

        def ratio(a: str, b: str, rate: dict[str, np.ndarray] = rate) -> str:
            return f"{np.median(rate[a] / rate[b]):.2f}"

        lines.append(
            f"| {encoding} | {middle['floor']:.2f} | {middle['naive']:.2f} | {middle['one']:.2f} | {middle['two']:.2f} "
            f"| {ratio('one', 'floor')} | {ratio('one', 'naive')} | {ratio('two', 'one')} "
            f"| {ARCHIVE / middle['two'] / 3600:.0f} h |"
        )
    whole = report["bytes_per_image"] * ARCHIVE / 1e12
    lines += [
        "",
        f"A store takes {report['bytes_per_image'] / 1e6:.2f} MB an image; {whole:.1f} TB for 1.3 million.",
        "",
        "| Level | Random reads a second, store | Raw memory map |",
        "|---|---|---|",
        *(
            f"| {row['height']} x {row['width']} | {row['store']:,.0f} | {row['memmap']:,.0f} |"
            for row in report["reads"]
        ),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
