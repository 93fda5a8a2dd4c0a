"""A finished run as files small enough to keep, from which the chapters are rebuilt without training or images.

A reference folder::

    README.md        the model card
    run/             the averaged generator in half precision, settings, logs, sheets of fixed latents, and
                     distances.csv: distances of its images from the real ones as it grew
    choice.csv       kept generators, measured, and which one is published, where one was chosen
    moments.csv      one row per image: kind, view, split, patient (a number), M1 to M5
    artifacts/       tables of `mammogan.report.inspection`
    alignment/       sections of `mammogan.report.copies`
    provenance.json  origin of the run

No real image is in it, and none can be made from it but by the generator.
"""

from __future__ import annotations

import math
import tempfile
import tomllib
from importlib.resources import files
from pathlib import Path

import numpy as np
import pandas as pd
from jinja2 import Environment

from mammogan.atomic import replacing_folder, write_json
from mammogan.data.images import Images
from mammogan.data.pairs import patients
from mammogan.data.phantom.patient import are_phantoms
from mammogan.data.store import Store
from mammogan.errors import OutputError, RunError
from mammogan.gan import checkpoints
from mammogan.gan.sampling import Draw, sample
from mammogan.gan.snapshot import Snapshot, publish_run
from mammogan.metrics.moments import MOMENT_NAMES, image_moments
from mammogan.metrics.resampling import ResamplingDesign, numbered
from mammogan.report import copies, provenance, training
from mammogan.report.alignment import Comparison
from mammogan.report.choices import bit_depth_effect
from mammogan.report.inspection import compare_images, write_tables
from mammogan.report.results import Value
from mammogan.report.snapshots import RULE, measure_snapshots

MEGABYTES = 25.0  # of weights that every host of a repository accepts
HERE = files("mammogan.report")
ORIGINS = {
    name: {key: text.replace("\n", " ").strip() if isinstance(text, str) else text for key, text in origin.items()}
    for name, origin in tomllib.loads(HERE.joinpath("origins.toml").read_text(encoding="utf-8")).items()
}


def export(
    run: Path,
    real: Path,
    out: Path,
    *,
    count: int = 1000,
    seed: int = 1,
    choose: bool = False,
    megabytes: float = MEGABYTES,
) -> Path:
    """Write a reference folder from a finished run and its training images, as a whole.

    Args:
        run: folder of the run.
        real: store of the real images on which it was trained.
        out: folder to write.
        count: synthetic images to draw for the tables.
        seed: random seed of the latent vectors; the chapters draw the same images again.
        choose: publish the generator that `snapshots.RULE` chooses, in place of the newest.
        megabytes: largest size of the weights.

    Raises:
        OutputError: a folder that is not empty, or cannot be written.
        RunError, StoreError: no run or no store, weights that are larger, or a run that was trained on another store.
    """
    if out.exists() and any(out.iterdir()):
        raise OutputError(f"The folder {out} is not empty; give another folder.")
    store = Store.open(real)
    if store.fingerprint != Snapshot.open(run).store:
        raise RunError(f"{run} does not state that it was trained on {real}; give --real the store of its training.")
    with replacing_folder(out) as folder, tempfile.TemporaryDirectory() as aside:
        measured = measure_snapshots(run, store, seed=seed + 1) if choose else None
        at = None if measured is None else int(measured.loc[measured["chosen"], "images"].item())
        weights = publish_run(run, folder / "run", at)
        if measured is not None:
            measured.to_csv(folder / "choice.csv", index=False, float_format="%.6g")
        if (size := weights.stat().st_size / 1e6) > megabytes:
            raise RunError(
                f"The weights take {size:.0f} MB, more than {megabytes:g}; give --megabytes {math.ceil(size)} if the "
                "place where they are kept accepts such files."
            )
        snapshot = Snapshot.open(folder / "run")
        trained = store.in_split(snapshot.config.split)
        # From the published weights, not from the exact ones: what a reader can draw again.
        synthetic = Store.open(sample(folder / "run", Path(aside) / "synthetic", Draw(count, seed)))
        values = _write_tables(folder, store, synthetic, trained, seed)
        if checkpoints.generators(run):  # early runs kept none
            table = training.distances(run, store, seed=seed)
            table = table[table["images"] <= snapshot.images]
            table.to_csv(folder / "run" / "distances.csv", index=False)
        origin = origin_of(store)
        told = {key: text for key, text in ORIGINS[origin].items() if key != "fingerprints"}
        facts = {"origin": origin, **told, **_facts(store, synthetic.sizes[-1], trained, snapshot, values)}
        facts |= {"count": count, "seed": seed, "rule": RULE if choose else "", **_provenance()}
        write_json(folder / "provenance.json", facts)
        (folder / "README.md").write_text(card(facts, snapshot, weights.stat().st_size), encoding="utf-8")
    return out


def origin_of(store: Store) -> str:
    """Return the name in origins.toml of the images of a store, which its content alone decides."""
    if are_phantoms(store.manifest):
        return "phantoms"
    return next(
        (name for name, known in ORIGINS.items() if store.fingerprint in known.get("fingerprints", ())), "unnamed"
    )


def _write_tables(folder: Path, real: Store, synthetic: Store, trained: np.ndarray, seed: int) -> dict[str, Value]:
    """Write moments.csv, alignment/ and artifacts/; return the values of alignment/."""
    size = synthetic.sizes[-1]
    tables = []
    for kind, store in (("real", real), ("synthetic", synthetic)):
        table = pd.DataFrame(image_moments(store.images(size), store.bits), columns=list(MOMENT_NAMES))
        table.insert(0, "kind", kind)
        table.insert(1, "view", store.manifest["view"].fillna("").to_numpy())
        table.insert(2, "split", store.manifest["split"].fillna("").to_numpy())
        table.insert(3, "patient", numbered(patients(store)))
        tables.append(table)
    pd.concat(tables).to_csv(folder / "moments.csv", index=False, float_format="%.12g")
    first, second = (table[list(MOMENT_NAMES)].to_numpy() for table in tables)
    design, images = ResamplingDesign(patients(real), len(synthetic)), (real.images(size), synthetic.images(size))
    comparison = Comparison(first, second, design, images, real.bits, trained, public=False)
    values = copies.write_sections(comparison, folder / "alignment")
    tables_of_images = compare_images(Images.of_store(real, size), Images.of_store(synthetic), seed=seed)
    write_tables(tables_of_images, folder / "artifacts")
    return values


def _facts(
    store: Store, size: tuple[int, int], trained: np.ndarray, snapshot: Snapshot, values: dict[str, Value]
) -> dict[str, object]:
    """Return what provenance.json says of the images and of the run."""
    copied = {"authenticity": "authenticity", "authenticity_held_out": "baseline", "distance_ratio": "distance"}
    audit = {name: values[f"memorization.{key}"] for name, key in copied.items()}
    return {
        "real_images": len(store),
        "training_images": int(trained.sum()),
        "patients": int(store.manifest["patient"].nunique()),
        "views": {str(view): int(count) for view, count in store.manifest["view"].value_counts().items()},
        "data_hash": store.fingerprint,
        "height": size[0],
        "width": size[1],
        "images_seen": snapshot.images,
        "schedule": snapshot.config.total_images,
        "bits": store.bits,
        **{name: (value.value, *(value.interval or ())) for name, value in audit.items()},
        "bit_depth_effect": bit_depth_effect(store.images(size)[: min(len(store), 200)], store.bits),
    }


def _provenance() -> dict[str, object]:
    revision, dirty = provenance.commit()
    return {
        "commit": revision,
        "dirty": dirty,
        "date": provenance.now(),
        "device": provenance.device(),
        "versions": provenance.versions(),
    }


def card(facts: dict[str, object], snapshot: Snapshot, size: int) -> str:
    """Return the model card of a reference.

    Args:
        facts: content of provenance.json.
        snapshot: facts of the run.
        size: size of the file of weights, bytes.
    """
    environment = Environment(keep_trailing_newline=True)
    environment.filters["interval"] = lambda bounds: "{:.2f} ({:.2f} to {:.2f})".format(*bounds)
    template = environment.from_string(HERE.joinpath("card.md").read_text(encoding="utf-8"))
    return template.render(facts, weights=snapshot.weights["generator"], megabytes=size / 1e6)
