"""A run worth reading, as files small enough to keep: the chapters are rebuilt from them without training or images.

A reference folder::

    README.md        the model card
    run/             the averaged generator in half precision, settings, logs, sheets of fixed latents, and
                     distances.csv: how far its images were from the real ones as it grew
    moments.csv      a row an image: kind, view, split, patient (a number), M1 to M5
    artifacts/       tables of `mammogan.report.inspection`
    alignment/       what `mammogan.report.copies` says of the images
    provenance.json  where it comes from

No real image is in it, and none can be made from it but by the generator.
"""

from __future__ import annotations

import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from mammogan.atomic import write_json
from mammogan.data.images import Images
from mammogan.data.pairs import patients
from mammogan.data.store import Store
from mammogan.errors import RunError
from mammogan.gan import checkpoints
from mammogan.gan.sampling import sample
from mammogan.gan.snapshot import Snapshot, publish_run
from mammogan.metrics.moments import MOMENT_NAMES, image_moments
from mammogan.metrics.resampling import ResamplingDesign
from mammogan.report import copies, provenance, training
from mammogan.report.alignment import Comparison
from mammogan.report.choices import bit_depth_effect
from mammogan.report.inspection import compare_images, write_tables

LARGEST = 25_000_000  # bytes of the weights


@dataclass(frozen=True)
class Origin:
    """What a reader must know of the training images.

    Attributes:
        data: their name, for the banner of each page.
        attribution: who made them, with license; "" for phantoms.
        limits: what they can and cannot show.
        public: the images themselves may be shown.
    """

    data: str
    attribution: str
    limits: str
    public: bool


ORIGINS = {
    "cdd-cesm": Origin(
        "CDD-CESM, low-energy images",
        "Khaled R, Helal M, Alfarghaly O, et al. Categorized Digital Database for Low energy and Subtracted Contrast "
        "Enhanced Spectral Mammography images. The Cancer Imaging Archive, 2021, doi:10.7937/29kw-ae92; Sci Data 9:122 "
        "(2022), doi:10.1038/s41597-022-01238-0. CC BY 4.0. Letterboxed and resized upstream, a subset here. One image "
        "more, a screening mammogram of one patient more: GH133 of the test data of fo-dicom (MS-PL).",
        "All breasts but one have a malignant finding: the set says nothing about screening, where few do. A few "
        "hundred images of about 140 women are a four-thousandth of the paper's: memorizing them is easy, and no "
        "interval here is narrow. They come from one hospital, as 8-bit pictures without a pixel size, but for one. "
        "They can show that every step works on real images, and how its results differ from those on phantoms. They "
        "cannot show whether the method reaches the realism that the paper reports.",
        False,
    ),
    "phantoms": Origin(
        "phantoms of this project",
        "",
        "Phantoms are drawn by a program of a few hundred lines. Their number is not limited, their truth is known, "
        "and they may be shown. A generator that matches them has matched that program and no anatomy: they can show "
        "what training and measures do as the number of images grows, and cannot show anything about patients.",
        True,
    ),
}


def export(
    run: str | Path, real: str | Path, out: str | Path, origin: str, *, count: int = 1000, seed: int = 1
) -> Path:
    """Write a reference folder from a finished run and its training images.

    Args:
        run: folder of the run.
        real: store of the real images, with the size that the run reached.
        out: folder to write, empty or absent.
        origin: a name of `ORIGINS`.
        count: synthetic images to draw for the tables.
        seed: of the latent vectors; the chapters draw the same images again.

    Raises:
        RunError: an unknown origin, a folder that is not empty, or weights of more than 25 MB.
        RunError, StoreError: no run or no store.
    """
    if origin not in ORIGINS:
        raise RunError(f"There is no origin {origin!r}; it is one of {', '.join(ORIGINS)}.")
    out = Path(out)
    if out.exists() and any(out.iterdir()):
        raise RunError(f"The folder {out} is not empty; give another or add --force.")
    store = Store.open(real)
    weights = publish_run(run, out / "run")
    if weights.stat().st_size > LARGEST:
        raise RunError(f"The weights take {weights.stat().st_size / 1e6:.0f} MB; publish a narrower generator.")
    finished = Snapshot.open(out / "run")
    split = finished.config.split
    trained = store.manifest["split"].to_numpy() == split if split else None
    with tempfile.TemporaryDirectory() as aside:
        # From the published weights, not from the exact ones: what a reader can draw again.
        synthetic = Store.open(sample(out / "run", Path(aside) / "synthetic", count, seed))
        size = synthetic.sizes[-1]
        tables = []
        for kind, images in (("real", store), ("synthetic", synthetic)):
            table = pd.DataFrame(image_moments(images.images(size), images.bits), columns=list(MOMENT_NAMES))
            table.insert(0, "kind", kind)
            table.insert(1, "view", images.manifest["view"].fillna("").to_numpy())
            table.insert(2, "split", images.manifest["split"].fillna("").to_numpy())
            table.insert(3, "patient", np.unique(patients(images), return_inverse=True)[1])
            tables.append(table)
        pd.concat(tables).to_csv(out / "moments.csv", index=False, float_format="%.12g")
        first, second = (table[list(MOMENT_NAMES)].to_numpy() for table in tables)
        plan, pictures = ResamplingDesign(patients(store), count), (store.images(size), synthetic.images(size))
        comparison = Comparison(first, second, plan, images=pictures, bits=store.bits, trained=trained, public=False)
        values = copies.keep(comparison, out / "alignment")
        found = compare_images(Images.of_store(store, size), Images.of_store(synthetic), seed=seed)
        write_tables(found, out / "artifacts")
        if checkpoints.generators(Path(run)):  # early runs kept none
            training.distances(Path(run), store, seed=seed).to_csv(out / "run" / "distances.csv", index=False)
    revision, dirty = provenance.commit()
    audit = {
        name: (values[f"memorization.{name}"]["value"], *values[f"memorization.{name}"]["interval"])
        for name in ("authenticity", "baseline", "distance")
    }
    facts = {
        "origin": origin,
        **{key: value for key, value in asdict(ORIGINS[origin]).items() if key != "public"},
        "real_images": len(store),
        "training_images": len(store) if trained is None else int(trained.sum()),
        "patients": int(store.manifest["patient"].nunique()),
        "views": {str(k): int(v) for k, v in store.manifest["view"].value_counts().items()},
        "data_hash": store.fingerprint,
        "height": size[0],
        "width": size[1],
        "images_seen": finished.images,
        "schedule": finished.config.total_images,
        "bits": store.bits,
        "authenticity": audit["authenticity"],
        "authenticity_held_out": audit["baseline"],
        "distance_ratio": audit["distance"],
        "bit_depth_effect": bit_depth_effect(store.images(size)[: min(len(store), 200)], store.bits),
        "count": count,
        "seed": seed,
        "commit": revision,
        "dirty": dirty,
        "date": provenance.now(),
        "device": provenance.device(),
        "versions": provenance.versions(),
    }
    write_json(out / "provenance.json", facts)
    (out / "README.md").write_text(card(facts, finished, weights), encoding="utf-8")
    return out


def card(facts: dict, finished: Snapshot, weights: Path) -> str:
    """The model card."""
    total = finished.config.total_images
    state = "the end of its schedule" if finished.images >= total else "a checkpoint before its end"
    lines = [
        f"# Generator trained on {facts['data']}",
        "",
        f"A progressively grown GAN (Karras 2018; Korkinof 2021) that draws {facts['height']} x {facts['width']} "
        f"pixels of {finished.bits} bits, at {state}: {finished.images} of {total} images shown to "
        f"the discriminator. {finished.weights['generator']} weights in half precision, "
        f"{weights.stat().st_size / 1e6:.1f} MB.",
        "",
        f"Trained on {facts['training_images']} of {facts['real_images']} images of {facts['patients']} patients ("
        + ", ".join(f"{n} {view}" for view, n in facts["views"].items())
        + f"). {facts['date'][:10]}, {facts['device']}, commit {facts['commit'][:10]}.",
        "",
        "**Use.** Research on generators and their measures. Not for diagnosis, training of readers, or as data about "
        "any population.",
        "",
        f"**What it can and cannot show.** {facts['limits']}",
        "",
        f"**Copies of training images.** {_interval(facts['authenticity'])} of its images are authentic "
        f"(Alaa 2022, by patient), {_interval(facts['authenticity_held_out'])} of unseen real images; the median "
        f"distance to the nearest training image is {_interval(facts['distance_ratio'])} times theirs.",
        "",
        "**Draw images.** `mammogan sample RUN --count 100 --out OUT`, RUN being the folder `run` beside this file.",
        "",
        "**Files.** `run/` weights, settings, logs, sheets of fixed latents, and `distances.csv`, the sliced "
        "Wasserstein distances from the real images on the way; `moments.csv`, `artifacts/` and `alignment/` "
        f"statistics of {facts['real_images']} real and {facts['count']} synthetic images (seed {facts['seed']}). No "
        "real image is among them.",
    ]
    if facts["attribution"]:
        lines += ["", f"**Training images.** {facts['attribution']}"]
    return "\n".join(lines) + "\n"


def _interval(found: tuple[float, float, float]) -> str:
    return "{:.2f} ({:.2f} to {:.2f})".format(*found)
