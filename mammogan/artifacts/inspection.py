"""Inspections: images drawn at random and mixed with real ones, contact sheets, and a page to label them.

An inspection is a folder::

    index.html         the labeling page; opened from the disk, no server
    images/0001.png    images of the page: numbers without meaning, 8 bits, linear from black to white
    sheets/*.png       contact sheets of synthetic images: all at random, and those that each detector ranks first
    candidates.csv     surprise of every synthetic image to every detector
    key.csv            kind, view and source of each number; observers do not look at it
    inspection.json    seed, counts and sizes

Where images are pairs of views, breasts are drawn, and sheets show the CC and the MLO of each next to each other.

The page needs no server: a folder can be sent to the second observer, opened without a port or an installation, and
archived with the labels. It saves after every key into the browser's storage; labels are exported and imported as CSV.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw

from mammogan.artifacts.classes import CLASSES
from mammogan.artifacts.detectors import Detectors
from mammogan.artifacts.facts import facts_table
from mammogan.atomic import replacing_folder, write_json, write_text, writing
from mammogan.data.images import Images, Subset
from mammogan.errors import InspectionError
from mammogan.types import ImageStack, Progress, no_progress

PAGE = Path(__file__).with_name("page.html")
SHEET = 100  # images on a contact sheet
COLUMNS, GAP = 10, 2  # images per row, and pixels between them
WIDEST = 1024  # pixels of an image on a sheet: ten images in a row are as much as viewers of pictures open


def choose(images: Images, count: int, rng: np.random.Generator) -> np.ndarray:
    """Draw indices of `count` random images per view, or breasts, in ascending order; all where there are fewer."""
    if images.pairs is not None:
        return np.sort(rng.permutation(images.pairs)[:count].ravel())
    rows = [rng.permutation(np.flatnonzero(images.views == view))[:count] for view in np.unique(images.views)]
    return np.sort(np.concatenate(rows))


def picture(pixels: np.ndarray, bits: int) -> Image.Image:
    """Return gray levels (h, w) as an 8-bit picture, linear from 0 to full range."""
    return Image.fromarray(np.rint(pixels * (255 / (2**bits - 1))).astype(np.uint8))


def contact_sheet(images: ImageStack, bits: int, captions: list[str], columns: int = COLUMNS) -> Image.Image:
    """Draw images (n, h, w) in rows, read one at a time, with captions above them.

    Small images are enlarged by a whole factor; those wider than `WIDEST` are reduced by one, to means of pixels.
    """
    h, w = images.shape[1:]
    factor, divisor = max(round(96 / w), 1), -(-w // WIDEST)
    h, w, line = h * factor // divisor, w * factor // divisor, 12
    rows = -(-len(images) // columns)
    sheet = Image.new("L", (columns * (w + GAP) + GAP, rows * (h + line + GAP) + GAP), 48)
    draw = ImageDraw.Draw(sheet)
    method = Image.Resampling.NEAREST if divisor == 1 else Image.Resampling.BOX
    for number, caption in enumerate(captions):
        x, y = GAP + number % columns * (w + GAP), GAP + number // columns * (h + line + GAP)
        sheet.paste(picture(np.asarray(images[number]), bits).resize((w, h), method), (x, y + line))
        draw.text((x + 1, y), caption[: max(w // 6, 4)], fill=230)
    return sheet


def make_inspection(
    synthetic: Images,
    out: Path,
    *,
    real: Images | None = None,
    count: int = 1000,
    controls: int = 200,
    seed: int = 0,
    observer: str = "",
    progress: Progress = no_progress,
) -> Path:
    """Write an inspection as a whole and return its page.

    Args:
        synthetic: images to inspect; breasts where they have `pairs`.
        out: folder, empty or absent.
        real: controls, of the same size; None makes an inspection without controls and without candidates.
        count: synthetic images per view, at random (the paper's 1000), or in all where views are not known; or breasts.
        controls: real images per view.
        seed: random seed of the choice and of the order.
        observer: name that the page proposes.
        progress: counts "pictures", "real images" and "candidates".

    Raises:
        InspectionError: the folder is not empty, or the sets differ in size.
        OutputError: the folder cannot be written.
    """
    with writing(out):
        if out.exists() and any(out.iterdir()):
            raise InspectionError(f"The folder {out} is not empty; give another folder.")
    if real is not None and real.size != synthetic.size:
        sizes = f"Real images have {real.size} pixels and synthetic ones {synthetic.size}"
        raise InspectionError(f"{sizes}; give two sets of one size.")
    rng = np.random.default_rng(seed)
    mixed = [("synthetic", synthetic, int(i)) for i in choose(synthetic, count, rng)]
    if real is not None:
        mixed += [("real", real, int(i)) for i in choose(real, controls, rng)]
    mixed = [mixed[i] for i in rng.permutation(len(mixed))]
    rows = [(n, kind, images.views[i], images.ids[i], i) for n, (kind, images, i) in enumerate(mixed, 1)]
    key = pd.DataFrame(rows, columns=["number", "kind", "view", "id", "index"])
    own = _with_breasts(key[key["kind"] == "synthetic"].sort_values("index"), synthetic.pairs)
    if synthetic.pairs is not None:
        key = key.join(own["breast"].astype("Int64"))
    record = {
        "seed": seed,
        "images": len(key),
        "synthetic": len(own),
        "controls": len(key) - len(own),
        **synthetic.size._asdict(),
        **({} if synthetic.pairs is None else {"breasts": own["breast"].nunique()}),
        "views": {str(view): int(n) for view, n in key[key["kind"] == "synthetic"]["view"].value_counts().items()},
        "name": hashlib.sha256(key.to_csv().encode()).hexdigest()[:12],
    }
    classes = [kind._asdict() for kind in CLASSES]
    study = {"name": record["name"], "images": len(key), "observer": observer, "classes": classes}
    with replacing_folder(out) as folder:
        (folder / "images").mkdir()
        for number, (_, images, index) in enumerate(mixed, 1):
            picture(np.asarray(images.pixels[index]), images.bits).save(folder / "images" / f"{number:04d}.png")
            progress("pictures", number, len(mixed))
        key.to_csv(folder / "key.csv", index=False)
        scores = pd.DataFrame({"number": []})
        if real is not None:
            scores = _score(synthetic, real, own, progress)
            scores.to_csv(folder / "candidates.csv", index=False, float_format="%.4g")
        _write_sheets(folder / "sheets", synthetic, own, scores)
        write_json(folder / "inspection.json", record)
        # Nothing in the page tells real images from synthetic ones, and "<" cannot end the script that holds the text.
        page = PAGE.read_text(encoding="utf-8").replace("/*STUDY*/null", json.dumps(study).replace("<", "\\u003c"))
        write_text(folder / "index.html", page.replace("<!--SIZE-->", str(synthetic.size)))
    return out / "index.html"


def _with_breasts(own: pd.DataFrame, pairs: np.ndarray | None) -> pd.DataFrame:
    """Add the column breast to rows of the key: the lower number of its two views, or without pairs the own number."""
    if pairs is None:
        return own.assign(breast=own["number"])
    number = own.set_index("index")["number"]
    named = {int(row): int(number.loc[pair].min()) for pair in pairs if pair[0] in number for row in pair}
    return own.assign(breast=own["index"].map(named))


def _score(synthetic: Images, real: Images, own: pd.DataFrame, progress: Progress) -> pd.DataFrame:
    """Return the surprises of the chosen synthetic images, with all real images as the reference."""
    detectors = Detectors(facts_table(real.pixels, real.bits, progress, "real images"), real.patients, real.views)
    chosen = Subset(synthetic.pixels, own["index"].to_numpy())
    scores = detectors.scores(facts_table(chosen, synthetic.bits, progress, "candidates"), own["view"].to_numpy(str))
    scores.insert(0, "number", own["number"].to_numpy())
    return scores


def _write_sheets(folder: Path, synthetic: Images, own: pd.DataFrame, scores: pd.DataFrame) -> None:
    """Write contact sheets: all images of each view at random, and those ranked first by each detector.

    Of pairs, both views are on one sheet, and a breast ranks as its more surprising view.
    """
    folder.mkdir()

    def write(name: str, rows: pd.DataFrame, captions: list[str]) -> None:
        images = Subset(synthetic.pixels, rows["index"].to_numpy())
        contact_sheet(images, synthetic.bits, captions).save(folder / f"{name}.png")

    sheet = own["view"].replace("", "all") if synthetic.pairs is None else np.full(len(own), "pairs")
    for name, part in own.sort_values(["breast", "view"]).groupby(sheet):
        for start in range(0, len(part), SHEET):
            rows = part.iloc[start : start + SHEET]
            write(f"random_{name}_{start // SHEET + 1:02d}", rows, [str(n) for n in rows["number"]])
    ranked = own.merge(scores, on="number")
    for detector in scores.columns.drop("number"):
        highest = ranked.groupby("breast")[detector].transform("max")
        order = np.lexsort([ranked["view"], ranked["breast"], -highest])
        rows = ranked.iloc[order[:SHEET]]
        captions = [f"{n}: {s:.1f}" for n, s in zip(rows["number"], rows[detector], strict=True)]
        write(f"ranked_{detector}", rows, captions)


def read_key(out: str | Path) -> pd.DataFrame:
    """Read kind, view and source of each number of an inspection.

    Raises:
        InspectionError: the folder is not an inspection, or its key is damaged.
    """
    path = Path(out) / "key.csv"
    if not path.is_file():
        raise InspectionError(f"{out} is not an inspection; make one with `mammogan inspect SYNTHETIC --out {out}`.")
    try:
        return pd.read_csv(path, dtype={"view": str, "id": str}, keep_default_na=False).astype({"number": int})
    except (OSError, ValueError, KeyError):
        raise InspectionError(f"{path} is damaged; restore it, or make the inspection again.") from None
