"""Makes an inspection: images drawn at random and mixed with real ones, contact sheets, and a page to label them.

An inspection is a folder::

    index.html         the labeling page; opened from the disk, no server
    images/0001.png    what the page shows: numbers without meaning, 8 bits, linear from black to white
    sheets/*.png       contact sheets of synthetic images: all at random, and those that each detector ranks first
    candidates.csv     surprise of every synthetic image to every detector
    key.csv            what each number is; who labels does not look at it
    inspection.json    seed, counts and sizes

The page is a file and not a server: a folder can be sent to the second observer, opened without a port or an
installation, and put away with the labels. It saves after every key into the browser's storage, and labels leave and
come back as CSV.
"""

from __future__ import annotations

import hashlib
import json
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw

from mammogan.artifacts.classes import CLASSES
from mammogan.artifacts.detectors import Detectors
from mammogan.artifacts.facts import facts_table
from mammogan.atomic import write_json
from mammogan.data.images import Images, Subset
from mammogan.errors import InspectionError
from mammogan.types import Progress, no_progress

PAGE = Path(__file__).with_name("page.html")
SHEET = 100  # images on a contact sheet
COLUMNS = 10
GAP = 2  # pixels


def choose(images: Images, count: int, rng: np.random.Generator) -> np.ndarray:
    """Indices of `count` random images a view, in ascending order; all where there are fewer."""
    chosen = []
    for view in np.unique(images.views):
        own = np.flatnonzero(images.views == view)
        chosen.append(rng.permutation(own)[:count])
    return np.sort(np.concatenate(chosen))


def picture(pixels: np.ndarray, bits: int) -> Image.Image:
    """Gray levels (h, w) as an 8-bit picture, linear from 0 to full range."""
    return Image.fromarray(np.rint(pixels * (255 / (2**bits - 1))).astype(np.uint8))


def contact_sheet(images: list[np.ndarray], bits: int, captions: list[str], columns: int = COLUMNS) -> Image.Image:
    """Images in rows at their own pixels (enlarged by a whole factor where small), a caption above each."""
    h, w = images[0].shape
    factor = max(round(96 / w), 1)
    h, w, line = h * factor, w * factor, 12
    rows = -(-len(images) // columns)
    sheet = Image.new("L", (columns * (w + GAP) + GAP, rows * (h + line + GAP) + GAP), 48)
    draw = ImageDraw.Draw(sheet)
    for place, (image, caption) in enumerate(zip(images, captions, strict=True)):
        x, y = GAP + place % columns * (w + GAP), GAP + place // columns * (h + line + GAP)
        sheet.paste(picture(image, bits).resize((w, h), Image.Resampling.NEAREST), (x, y + line))
        draw.text((x + 1, y), caption[: max(w // 6, 4)], fill=230)
    return sheet


def make_inspection(
    synthetic: Images,
    out: str | Path,
    *,
    real: Images | None = None,
    count: int = 1000,
    controls: int = 200,
    seed: int = 0,
    observer: str = "",
    sheets: int = SHEET,
    progress: Progress = no_progress,
) -> Path:
    """Write an inspection; returns its page.

    Args:
        synthetic: images to inspect.
        out: folder, empty or absent.
        real: controls, of the same size; None makes an inspection without controls and without candidates.
        count: synthetic images a view, at random (the paper's 1000); all where the view has fewer. Where views are not
            known, in all.
        controls: real images a view.
        seed: of the choice and of the order.
        observer: name that the page proposes.
        sheets: images on a contact sheet of candidates.
        progress: counts "pictures", "real images" and "candidates".

    Raises:
        InspectionError: the folder is not empty, or the sets differ in size.
    """
    out = Path(out)
    if out.exists() and any(out.iterdir()):
        raise InspectionError(f"The folder {out} is not empty; give another or add --force.")
    if real is not None and real.size != synthetic.size:
        raise InspectionError(
            f"Real images are {real.size[0]} x {real.size[1]} and synthetic ones {synthetic.size[0]} x "
            f"{synthetic.size[1]}; give two sets of one size."
        )
    rng = np.random.default_rng(seed)
    chosen = choose(synthetic, count, rng)
    shown = [("synthetic", synthetic, int(i)) for i in chosen]
    if real is not None:
        shown += [("real", real, int(i)) for i in choose(real, controls, rng)]
    order = rng.permutation(len(shown))
    (out / "images").mkdir(parents=True)
    rows = []
    for number, place in enumerate(order, 1):
        kind, images, index = shown[place]
        picture(np.asarray(images.pixels[index]), images.bits).save(out / "images" / f"{number:04d}.png")
        rows.append((number, kind, images.views[index], images.ids[index], index))
        progress("pictures", number, len(shown))
    key = pd.DataFrame(rows, columns=["number", "kind", "view", "id", "index"])
    key.to_csv(out / "key.csv", index=False)
    record = {
        "seed": seed,
        "images": len(key),
        "synthetic": len(chosen),
        "controls": len(key) - len(chosen),
        "height": synthetic.size[0],
        "width": synthetic.size[1],
        "views": {str(v): int(n) for v, n in key[key["kind"] == "synthetic"]["view"].value_counts().items()},
        "name": hashlib.sha256(key.to_csv().encode()).hexdigest()[:12],
    }
    own = key[key["kind"] == "synthetic"].sort_values("index")
    scores = None
    if real is not None:
        scores = _score(synthetic, real, own, progress)
        scores.to_csv(out / "candidates.csv", index=False, float_format="%.4g")
    write_sheets(out / "sheets", synthetic, own, scores, sheets)
    write_json(out / "inspection.json", record)
    return write_page(out, record, observer)


def _score(synthetic: Images, real: Images, own: pd.DataFrame, progress: Progress) -> pd.DataFrame:
    """Surprise of the chosen synthetic images, all real images being the reference."""
    reference = facts_table(real.pixels, real.bits, progress, "real images")
    taken = Subset(synthetic.pixels, own["index"].to_numpy())
    table = facts_table(taken, synthetic.bits, progress, "candidates")
    fitted = Detectors(reference, real.patients, real.views)
    scores = fitted.scores(table, own["view"].to_numpy(str))
    scores.insert(0, "number", own["number"].to_numpy())
    return scores


def write_sheets(folder: Path, synthetic: Images, own: pd.DataFrame, scores: pd.DataFrame | None, most: int) -> None:
    """Contact sheets: all images of each view at random, and those ranked first by each detector."""
    folder.mkdir(parents=True)

    def write(name: str, rows: pd.DataFrame, captions: list[str]) -> None:
        images = [np.asarray(synthetic.pixels[int(i)]) for i in rows["index"]]
        contact_sheet(images, synthetic.bits, captions).save(folder / f"{name}.png")

    for view, part in own.sort_values("number").groupby("view"):
        for start in range(0, len(part), SHEET):
            rows = part.iloc[start : start + SHEET]
            name = f"random_{view or 'all'}_{start // SHEET + 1:02d}"
            write(name, rows, [str(n) for n in rows["number"]])
    if scores is None:
        return
    for detector in [c for c in scores.columns if c != "number"]:
        first = scores.nlargest(most, detector)
        rows = own.set_index("number").loc[first["number"]]
        captions = [f"{n}: {s:.1f}" for n, s in zip(first["number"], first[detector], strict=True)]
        write(f"ranked_{detector}", rows, captions)


def write_page(out: Path, record: dict[str, Any], observer: str) -> Path:
    """The labeling page, with nothing in it that says which image is real."""
    study = {
        "name": record["name"],
        "images": record["images"],
        "observer": observer,
        "classes": [{"key": c.key, "label": c.label, "look": c.look} for c in CLASSES],
    }
    # "<" cannot end the script element that holds the text.
    text = PAGE.read_text(encoding="utf-8").replace("/*STUDY*/null", json.dumps(study).replace("<", "\\u003c"))
    path = out / "index.html"
    path.write_text(text.replace("<!--SIZE-->", escape(f"{record['height']} x {record['width']}")), encoding="utf-8")
    return path


def read_key(out: str | Path) -> pd.DataFrame:
    """What each number of an inspection is.

    Raises:
        InspectionError: the folder is no inspection.
    """
    path = Path(out) / "key.csv"
    if not path.is_file():
        raise InspectionError(f"{out} is no inspection; make one with `mammogan inspect SYNTHETIC --out {out}`.")
    return pd.read_csv(path, dtype={"view": str, "id": str}, keep_default_na=False)
