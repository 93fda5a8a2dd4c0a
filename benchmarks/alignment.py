"""Speed of the alignment against what a user would write: moments, information, densities, precision and recall.

    python benchmarks/alignment.py [--images 90000] [--repeats 3]

The table is printed and kept as benchmarks/results/alignment.md and .json. Rivals run in turns in the same process;
ratios are of processor time, which other work on the machine disturbs least, and medians over the repeats. Tasks timed
in this way run in one thread: a thread that waits for work counts as if it worked.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from prdc import compute_prdc
from scipy import stats
from sklearn.feature_selection import mutual_info_classif
from threadpoolctl import threadpool_limits

from mammogan.data.phantom.render import render
from mammogan.data.shards import Level
from mammogan.data.store import Store, StoreWriter
from mammogan.metrics.coverage import pair_scores, support_coverage
from mammogan.metrics.density import Grid, density
from mammogan.metrics.fidelity import manifold
from mammogan.metrics.information import label_information, mutual_information
from mammogan.metrics.moments import image_moments
from mammogan.metrics.resampling import ResamplingDesign
from mammogan.parallel import map_images

RESULT = Path(__file__).parent / "results" / "alignment"
GOALS = {"moments": 10, "seconds": 60, "gigabytes": 4, "pass": 0.8}


def spent(task: Callable[[], object]) -> tuple[float, float]:
    """Return the seconds of processor and of wall that a task needs."""
    wall, processor = time.perf_counter(), time.process_time()
    task()
    return time.process_time() - processor, time.perf_counter() - wall


def by_hand(image: np.ndarray) -> tuple[float, ...]:
    """Return the five moments as SciPy computes them."""
    x = image.ravel()
    return x.mean(), x.var(), stats.skew(x), stats.kurtosis(x, fisher=False), stats.moment(x, 5) / x.var() ** 2.5


def tables(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw two tables of moments like those of mammograms: skewed, heavy-tailed and correlated; a little apart."""
    rng = np.random.default_rng(seed)

    def draw(scale: float) -> np.ndarray:
        z = rng.normal(size=(count, 5)) * [1, 0.6, 0.3, 0.2, 0.2] + rng.normal(size=(count, 1)) * [0, 0.8, -1, -1, -1]
        return np.c_[0.15 * np.exp(0.3 * z[:, :2]), 1.5 * np.exp(0.4 * scale * z[:, 2:] * [0.5, 1, 1.5])]

    return draw(1.0), draw(1.04)


def rivals(repeats: int) -> list[dict[str, str | float]]:
    """Return the processor seconds of ours and theirs, task by task."""
    image = render(1, 0, "CC", "L", height=1280, width=1024).pixels.astype(np.uint16)
    (a, b), (c, d) = tables(10_000, 0), tables(2000, 1)
    labels = np.repeat([0, 1], len(a))
    grid = Grid.around(c[:, 1:3], d[:, 1:3], count=200)
    points = np.stack([axis.ravel() for axis in np.meshgrid(*grid.centers, indexing="ij")])
    features = [np.random.default_rng(seed).normal(size=(2000, 64)).astype(np.float32) for seed in (0, 1)]
    tasks: list[tuple[str, str, Callable[[], object], Callable[[], object]]] = [
        (
            "five moments of an image, 1280 x 1024",
            "scipy.stats",
            lambda: image_moments(image[None], 12),
            lambda: by_hand(image),
        ),
        (
            "information of five moments, 10,000 + 10,000",
            "sklearn mutual_info_classif",
            lambda: [mutual_information(a[:, j], b[:, j]) for j in range(5)],
            lambda: mutual_info_classif(np.r_[a, b], labels, discrete_features=False, random_state=0),
        ),
        (
            "two densities on 200 x 200, 2000 + 2000",
            "scipy gaussian_kde",
            lambda: [density(x[:, 1:3], grid) for x in (c, d)],
            lambda: [stats.gaussian_kde(x[:, 1:3].T)(points) for x in (c, d)],
        ),
        (
            "precision, recall, density, coverage, 2000 + 2000 of 64",
            "prdc",
            lambda: manifold(*features),
            lambda: compute_prdc(*features, nearest_k=5),
        ),
    ]
    rows = []
    for name, rival, ours, theirs in tasks:
        ours()
        times = [(spent(ours)[0], spent(theirs)[0]) for _ in range(repeats)]
        mine, other = np.median(times, axis=0)
        ratio = float(np.median([t / max(o, 1e-6) for o, t in times]))
        rows.append({"task": name, "rival": rival, "ours": float(mine), "theirs": float(other), "ratio": ratio})
        print(rows[-1], flush=True)
    return rows


def statistics(count: int) -> dict[str, float]:
    """Return the seconds and gigabytes of the whole statistics stage, from tables of moments to all rows."""
    real, synthetic = tables(count, 2)
    design = ResamplingDesign(count, count)
    costs: dict[str, float] = {}
    for name, task in (
        ("Table 2", lambda: label_information(real, synthetic, design)),
        ("Table 1", lambda: pair_scores(real, synthetic, design)),
        ("Figure 6", lambda: support_coverage(real, synthetic, design)),
    ):
        costs[f"{name} processor"], costs[f"{name} wall"] = spent(task)
        print(name, costs, flush=True)
    for kind in ("processor", "wall"):
        costs[kind] = sum(value for name, value in costs.items() if name.endswith(kind) and " " in name)
    costs["gigabytes"] = _peak() / 1024
    return costs


def only_read(images: np.ndarray) -> np.ndarray:
    """Return nothing of every image, to time reading alone."""
    return np.zeros((len(images), 5))


def through_the_store(repeats: int, workers: int) -> dict[str, object]:
    """Return images per second of reading alone and of the pass of moments, and the memory of passes of two lengths."""
    drawn = [render(1, 0, view, side, height=1280, width=1024).pixels for view in ("CC", "MLO") for side in "LR"]
    with tempfile.TemporaryDirectory() as name:
        with StoreWriter(Path(name) / "store", 1280, 1024, 12, {"by": "benchmark"}) as writer:
            for number in range(256):
                writer.accept(np.roll(drawn[number % 4], number, 0) / np.float32(4095), id=f"{number}")
        images = Store.open(Path(name) / "store").images()
        turns = []
        for _ in range(repeats):
            turns.append([spent(lambda f=f, a=a: map_images(images, f, *a)) for f, a in PASSES])
            print(turns[-1], flush=True)
        dask = [[_rate(images, f, a, workers) for f, a in PASSES] for _ in range(repeats)]
        memory = [_memory(images, count) for count in (256, 1024)]
    ratios = [read[0] / moments[0] for read, moments in turns]
    return {
        "read_images_per_processor_second": float(np.median([256 / read[0] for read, _ in turns])),
        "moments_images_per_processor_second": float(np.median([256 / moments[0] for _, moments in turns])),
        "one_process": float(np.median(ratios)),
        "dask_read_images_per_second": float(np.median([read for read, _ in dask])),
        "dask_moments_images_per_second": float(np.median([moments for _, moments in dask])),
        "dask": float(np.median([moments / read for read, moments in dask])),
        "peak_megabytes": memory,
    }


PASSES: tuple[tuple[Callable, tuple], ...] = ((only_read, ()), (image_moments, (12,)))


def _rate(images: Level, function: Callable, arguments: tuple, workers: int) -> float:
    """Return images per second of wall on a Dask cluster, from the first answer to the last of 2048 images."""
    marks: list[tuple[float, int]] = []
    rows = np.resize(np.arange(len(images)), 2048)

    def done(task: str, images: int, total: int = 0, note: str = "") -> None:
        marks.append((time.perf_counter(), images))

    map_images(images, function, *arguments, rows=rows, workers=workers, progress=done)
    return (marks[-1][1] - marks[0][1]) / (marks[-1][0] - marks[0][0])


def _memory(images: Level, count: int) -> float:
    """Return the peak megabytes of a fresh process that passes over so many images."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_pass, images, count).result()


def _pass(images: Level, count: int) -> float:
    map_images(images, image_moments, 12, rows=np.resize(np.arange(len(images)), count))
    return _peak()


def _peak() -> float:
    """Return the peak megabytes of this process since it began (resource.getrusage would count its parent's too)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def table(report: dict) -> str:
    """Return the results as Markdown."""
    lines = [
        f"{report['date']}; {report['device']}; load {report['load']:.0f}"
        f"{' (shared: wall times are long)' if report['load'] > os.cpu_count() else ''}; medians of "
        f"{report['repeats']} repeats. Seconds of processor.",
        "",
        "| Task | What a user would write | Theirs, s | Ours, s | Theirs / ours |",
        "|---|---|---|---|---|",
        *(
            f"| {row['task']} | {row['rival']} | {row['theirs']:.4f} | {row['ours']:.4f} | {row['ratio']:.1f} |"
            for row in report["rivals"]
        ),
    ]
    if stage := report.get("statistics"):
        lines += [
            "",
            f"The statistics stage for {report['images']:,} + {report['images']:,} images, from a table of moments, "
            "100 half samples, 20 splits and 200 permutations:",
            "",
            "| Part | Processor, s | Wall, s |",
            "|---|---|---|",
            *(
                f"| {part} | {stage[f'{part} processor']:.1f} | {stage[f'{part} wall']:.1f} |"
                for part in ("Table 2", "Table 1", "Figure 6")
            ),
            f"| Together | {stage['processor']:.1f} | {stage['wall']:.1f} |",
            "",
            f"Peak memory {stage['gigabytes']:.2f} GB. Goals: {GOALS['seconds']} s of wall on 2 cores, "
            f"{GOALS['gigabytes']} GB.",
        ]
    if passed := report.get("pass"):
        lines += [
            "",
            "The pass of moments over a store of 1280 x 1024, as a share of the speed of reading alone "
            f"(goal {GOALS['pass']}):",
            "",
            "| Where | Read, images/s | Moments, images/s | Moments / read |",
            "|---|---|---|---|",
            f"| one process, per second of processor | {passed['read_images_per_processor_second']:.0f} | "
            f"{passed['moments_images_per_processor_second']:.0f} | {passed['one_process']:.2f} |",
            f"| Dask, 2 processes, per second of wall | {passed['dask_read_images_per_second']:.0f} | "
            f"{passed['dask_moments_images_per_second']:.0f} | {passed['dask']:.2f} |",
            "",
            f"Peak memory of a pass: {passed['peak_megabytes'][0]:.0f} MB over 256 images, "
            f"{passed['peak_megabytes'][1]:.0f} MB over 1024.",
        ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=90_000, help="images per side in the statistics stage")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    report: dict = {
        "date": datetime.now(UTC).date().isoformat(),
        "device": f"{platform.machine()}, {os.cpu_count()} cores",
        "load": os.getloadavg()[0],
        "repeats": options.repeats,
        "images": options.images,
    }
    for name, measure, threads in (
        ("rivals", lambda: rivals(options.repeats), 1),
        ("statistics", lambda: statistics(options.images), None),
        ("pass", lambda: through_the_store(options.repeats, 2), 1),
    ):
        torch.set_num_threads(threads or os.cpu_count())
        with threadpool_limits(threads):
            report[name] = measure()
        RESULT.parent.mkdir(exist_ok=True)
        RESULT.with_suffix(".json").write_text(json.dumps(report, indent=1) + "\n")
        RESULT.with_suffix(".md").write_text(table(report))
    print(table(report))


if __name__ == "__main__":
    main()
