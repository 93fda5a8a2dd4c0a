"""Measure what choices in training change: trainings that differ from one another in a single choice.

    python benchmarks/ablation.py STORE [--images 48000] [--seeds 0 1 2] [--workers 2] [--keep DIR] [--phantoms STORE]

STORE holds few real images, for that is where the choices matter. Generated images are compared with real ones of
patients that none was trained on: sliced Wasserstein distance, mean over the bands and in the finest band, in blocks as
large as the held-out set; difference of mean spectra; share of images whose lattice, background or line along the edge
is beyond that of 99 % of the real training images. Overfitting of D is the share of pairs in which D scores a training
image above a held-out one, neither augmented: 50 % is none. The distance ratio is that of the search for copies: below
1, generated images are nearer to training images than unseen patients are. A view is recognized by logistic regression
on the pixels of the training images. Each number is the median over seeds, with the lowest and the highest. The results
are kept as benchmarks/results/ablation.json, from which the book's page of deviations takes them, and ablation.md. With
--keep, a second call continues and reads what is there. With --phantoms, one training more begins at the last level,
with the networks of a training of as many images on those phantoms.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import platform
import tempfile
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from mammogan.artifacts.facts import facts_table
from mammogan.data.pairs import patients
from mammogan.data.store import Store
from mammogan.gan import checkpoints
from mammogan.gan.config import Config
from mammogan.gan.dataset import RealImages
from mammogan.gan.device import configure_device
from mammogan.gan.networks import Discriminator
from mammogan.gan.sampling import Sampler
from mammogan.gan.training import Run
from mammogan.metrics.distances import blockwise_distance, patches
from mammogan.metrics.features import pixel_features
from mammogan.metrics.memorization import audit
from mammogan.metrics.spectrum import image_spectra, spectral_distance
from mammogan.report.results import Results

RESULT = Path(__file__).parent / "results" / "ablation.json"
WHOLE: dict[str, Any] = {
    "levels": 4, "latent": 64, "fmap_base": 512, "fmap_max": 32, "stable_images": 6000, "fade_images": 6000,
    "batches": (16,), "learning_rate": 0.002, "ema": 0.99, "condition": "view", "augment": 0.6,
    "augment_images": 50_000, "split": "train", "channels_last": True, "checkpoint_images": 0, "sample_images": 0,
    "resampling": "bilinear", "noise": True, "clip": True, "fused": True, "precision": "bfloat16",
}  # fmt: skip
ORIGINAL: dict[str, Any] = {"resampling": "nearest", "noise": False, "clip": False}
CHANGES: dict[str, dict[str, Any]] = {
    "whole": {},
    "original": ORIGINAL,
    "resampling": {"resampling": "nearest"},
    "noise": {"noise": False},
    "clip": {"clip": False},
    "edge": {"edge_levels": 2},
    "dequantize": {"dequantize": True},
    "r1": {"loss": "r1", "penalty_every": 16},
    "lazy": {"penalty_every": 4},
    "float32": {"precision": "float32"},
    "narrow": {"fmap_base": 256, "fmap_max": 16},
    "labels": {"condition": ""},
    "augmentation": {"augment": 0.0},
}
TRANSFER = "transfer"
TITLES = {
    "whole": "none",
    "original": "the original's scaling, no noise, no clipping",
    "resampling": "nearest neighbor in place of bilinear scaling",
    "noise": "no noise",
    "clip": "no clipping",
    "edge": "repeated edges in place of zeros at the last two levels",
    "dequantize": "dequantized real images",
    "r1": "R1 every 16th minibatch and the logistic loss",
    "lazy": "gradient penalty every 4th minibatch",
    "float32": "float32 in place of bfloat16",
    "narrow": "half of the maps",
    "labels": "no labels",
    "augmentation": "no augmentation",
    TRANSFER: "a start from phantoms",
}
FLAGGED = ("lattice", "background", "rim")  # facts
NUMBERS = {
    "lattice": ("lattice flagged, %", ".0f"),
    "background": ("background flagged, %", ".0f"),
    "rim": ("line at the edge flagged, %", ".0f"),
    "finest": ("finest band", ".0f"),
    "spectrum": ("spectrum, dB", ".1f"),
    "distance": ("distance from held-out images", ".0f"),
    "overfitting": ("D prefers training images, %", ".0f"),
    "copies": ("distance ratio", ".2f"),
    "view": ("views recognized, %", ".0f"),
}


class Real:
    """The real images at a size: of the patients that are trained on, and of the others."""

    def __init__(self, store: Store, size: tuple[int, int]) -> None:
        self.bits = store.bits
        images, views = store.images(size)[:], store.manifest["view"].to_numpy()
        order = np.random.default_rng(0).permutation(len(images))  # a block is no patient's alone
        is_train = (store.manifest["split"] == "train").to_numpy()[order]
        train, held = order[is_train], order[~is_train]
        self.train, self.held, self.held_views = images[train], images[held], views[held]
        self.patients = patients(store)[train]
        self.reader = LogisticRegression(max_iter=1000).fit(self.features(self.train), views[train])
        self.facts = facts_table(self.train, self.bits)
        self.spectra = image_spectra(self.train / (2**self.bits - 1))[1]

    def features(self, images: np.ndarray) -> np.ndarray:
        return pixel_features(images / (2**self.bits - 1))

    def texture(self, images: np.ndarray) -> dict[str, float]:
        """Distances from held-out images, flagged shares (percent) and difference of spectra."""
        bands = blockwise_distance(patches(self.held, self.bits), patches(images, self.bits))
        facts = facts_table(images, self.bits)
        flagged = {name: 100 * float(np.mean(facts[name] > np.quantile(self.facts[name], 0.99))) for name in FLAGGED}
        spectra = image_spectra(images / (2**self.bits - 1))[1]
        finest, spectrum = float(bands[0]), spectral_distance(self.spectra, spectra)
        return {"distance": float(bands.mean()), "finest": finest, "spectrum": spectrum, **flagged}

    def recognized(self, images: np.ndarray, views: Any) -> float:
        """Percent of the images that show these views to a classifier of the training images' pixels."""
        return 100 * float(np.mean(self.reader.predict(self.features(images)) == views))


def one(job: tuple[int, str], path: Path, folder: Path, images: int, phantoms: Path | None = None) -> dict[str, float]:
    """Train with one choice changed and a seed; measure."""
    (seed, change), store = job, Store.open(path)
    folder /= f"{change}-{seed}"
    if (numbers := folder / "numbers.json").is_file():
        return json.loads(numbers.read_text())
    torch.set_num_threads(1)
    config = Config().changed({**WHOLE, **CHANGES.get(change, {}), "total_images": images, "seed": seed})
    device, start = configure_device("cpu"), None
    if change == TRANSFER and phantoms:
        start = folder.with_name(f"phantoms-{seed}")
        Run.open(Store.open(phantoms), start, config, device).train()
        config = config.changed({"first_level": config.levels - 1})
    run = Run.open(store, folder, config, device, start)
    run.train()
    sampler = Sampler.open(run.folder)
    real = Real(store, sampler.size)
    drawn = np.stack(list(sampler.draw(len(real.train), seed=1)))
    found = {**real.texture(drawn), "overfitting": overfitting(run.folder, store, sampler)}
    vectors = [real.features(x) for x in (real.train, real.held, drawn)]
    found["copies"] = audit(vectors[0], real.patients, *vectors[1:]).distance_ratio[0]
    if config.condition:
        found["view"] = real.recognized(drawn, [sampler.facts(1, index)["view"] for index in range(len(drawn))])
    numbers.write_text(json.dumps(found))
    return found


@torch.no_grad()
def overfitting(run: Path, store: Store, sampler: Sampler) -> float:
    """Percent of pairs in which the newest D scores an image of the training split above one that it does not know."""
    newest = checkpoints.trained(run)
    critic = Discriminator(newest.architecture)
    critic.load_state_dict(newest.part("discriminator"))
    scores = []
    for split in ("train", "validation"):
        reals = RealImages(store, sampler.size, split, 0, sampler.conditions)
        images, labels = reals.batch(0, int((store.manifest["split"] == split).sum()) // 4 * 4)
        scores.append(critic(images, sampler.level, 1.0, labels).numpy())
    return 100 * float(roc_auc_score(np.repeat([1, 0], [*map(len, scores)]), np.concatenate(scores)))


def text(values: list[float], fmt: str) -> str:
    """Median (lowest to highest)."""
    return f"{np.median(values):{fmt}} ({min(values):{fmt}} to {max(values):{fmt}})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("--images", type=int, default=48_000, help="shown to D in each training")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--keep", type=Path, help="keep the runs here; those that are there are continued")
    parser.add_argument("--phantoms", type=Path, help="store of phantoms to begin with")
    options = parser.parse_args()
    changes = [*CHANGES, TRANSFER] if options.phantoms else [*CHANGES]
    jobs = list(product(options.seeds, changes))
    found: dict[str, list[dict[str, float]]] = {change: [] for change in changes}
    with tempfile.TemporaryDirectory() as folder:
        kept = options.keep or Path(folder)
        work = partial(one, path=options.store, folder=kept, images=options.images, phantoms=options.phantoms)
        with ProcessPoolExecutor(options.workers, mp_context=multiprocessing.get_context("spawn")) as processes:
            for (seed, change), numbers in zip(jobs, processes.map(work, jobs), strict=True):
                found[change].append(numbers)
                print(change, seed, {key: round(value, 3) for key, value in numbers.items()}, flush=True)
    store = Store.open(options.store)
    size = store.sizes[WHOLE["levels"] - 1]
    real = Real(store, size)
    least = {**real.texture(real.train), "view": real.recognized(real.held, real.held_views)}
    # Real images of other patients in place of generated ones: the training images flag 1 % of themselves.
    held = real.texture(real.held)
    least |= {name: held[name] for name in (*FLAGGED, "spectrum")}
    with tempfile.TemporaryDirectory() as folder:
        results = Results(folder, "ablation")
        results.value("date", datetime.now(UTC).date().isoformat(), how="of the measurement")
        results.value("device", f"{platform.machine()}, 1 thread a training", how="of the measurement")
        results.value("size", "{} x {}".format(*size), how="of the images")
        results.value("images", options.images, fmt=",", how="shown to D in each training")
        results.value("seeds", len(options.seeds), how="trainings of each kind")
        results.value("train", len(real.train), how="real images that are trained on")
        results.value("held", len(real.held), how="real images of other patients")
        for key, (name, fmt) in NUMBERS.items():
            if key in least:
                results.value(f"real.{key}", f"{least[key]:{fmt}}", how=f"{name}, of real images")
            for change, runs in found.items():
                if values := [numbers[key] for numbers in runs if key in numbers]:
                    results.value(f"{change}.{key}", text(values, fmt), how=f"{name}; change: {TITLES[change]}")
        RESULT.write_bytes(results.save().read_bytes())
        RESULT.with_suffix(".md").write_text(table(results))
    print(RESULT.with_suffix(".md").read_text())


def table(results: Results) -> str:
    """The results as Markdown."""
    found = {key: entry["value"] for key, entry in results.entries.items()}
    lines = [
        f"{found['date']}; {found['device']}; {found['seeds']} trainings of each kind, median (lowest to highest), "
        f"{found['images']:,} images each, {found['size']} pixels, {found['train']} real images and {found['held']} of "
        "other patients.",
        "",
        f"| Change | {' | '.join(name for name, _ in NUMBERS.values())} |",
        "|---" * (1 + len(NUMBERS)) + "|",
    ]
    for prefix, title in {**TITLES, "real": "real images in place of generated ones"}.items():
        if not any(key.startswith(f"{prefix}.") for key in found):  # not trained
            continue
        lines.append(f"| {title} | {' | '.join(found.get(f'{prefix}.{key}', '-') for key in NUMBERS)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
