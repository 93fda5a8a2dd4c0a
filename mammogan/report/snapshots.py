"""Choose the generator of a run that is published, by a rule that was stated before any was measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from mammogan.artifacts.detectors import Detectors
from mammogan.artifacts.facts import facts_table
from mammogan.artifacts.labels import THRESHOLD
from mammogan.data.pairs import patients
from mammogan.data.store import Store
from mammogan.errors import RunError
from mammogan.gan import checkpoints
from mammogan.gan.sampling import Sampler
from mammogan.metrics.distances import blockwise_distance, patches

RULE = (
    "Of the generators that the run kept after the fade-in of its last level, the one is published whose images have "
    "the smallest sliced Wasserstein distance from held-out real images, among those whose share of images that any "
    "detector flags is at most two standard errors above the lowest share."
)


def choose(measured: pd.DataFrame, count: int) -> int:
    """Return the images seen of the generator that `RULE` chooses; columns images, flagged and distance."""
    least = measured["flagged"].min()
    # Agresti & Coull's error: a share of 0 or 1 has one, too.
    share = (least * count + 2) / (count + 4)
    eligible = measured[measured["flagged"] <= least + 2 * np.sqrt(share * (1 - share) / (count + 4))]
    return int(eligible.loc[eligible["distance"].idxmin(), "images"])


def measure_snapshots(run: Path, store: Store, *, count: int = 256, seed: int = 2) -> pd.DataFrame:
    """Measure the generators that a run kept at its last level, and apply `RULE`.

    Args:
        run: folder of the run.
        store: its real images; those of the split that was trained on fit the detectors; of the others at most
            `count`, drawn at random, are held out.
        count: images to draw from each generator.
        seed: random seed of the latent vectors; published tables must have another.

    Returns:
        images (seen by D), flagged (share), distance (x 1000, mean over bands), chosen; one row per generator.

    Raises:
        RunError: no generator was kept at the last level, or no image is held out.
    """
    samplers = [Sampler.open(run, at=images) for images in checkpoints.generators(run)]
    last = max((sampler.level for sampler in samplers), default=0)
    samplers = [sampler for sampler in samplers if sampler.level == last and sampler.alpha == 1]
    if not samplers:
        raise RunError(f"{run} kept no generator after the fade-in of its last level; train further.")
    trained = store.in_split(checkpoints.trained(run).config.split)
    if trained.all():
        raise RunError("The choice of a generator needs images that were not trained on; train with split=train.")
    images = store.images(samplers[0].size)[:]
    views = store.manifest["view"].fillna("").to_numpy()
    detectors = Detectors(facts_table(images[trained], store.bits), patients(store)[trained], views[trained])
    others = np.flatnonzero(~trained)
    some = np.random.default_rng(seed).permutation(others)[:count] if len(others) > count else others
    held_out = patches(images[some], store.bits)
    rows = []
    for sampler in samplers:
        drawn = np.stack(list(sampler.draw(count, seed)))
        drawn_views = np.array([sampler.facts(seed, index)["view"] or "" for index in range(count)])
        flagged = detectors.scores(facts_table(drawn, store.bits), drawn_views)["any"] >= THRESHOLD
        distance = blockwise_distance(held_out, patches(drawn, store.bits)).mean()
        rows.append((sampler.images, flagged.mean(), float(distance)))
    table = pd.DataFrame(rows, columns=["images", "flagged", "distance"])
    return table.assign(chosen=table["images"] == choose(table, count))
