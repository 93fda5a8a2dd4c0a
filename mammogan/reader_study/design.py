"""A reader study from two sets of images: curated pools, blinded pictures, and every session a function of the seed.

Layout of a study (a folder)::

    study.json          the secret half, readable to its owner alone: seed, what was excluded and why, and which
                        picture is which image
    public/             all that a browser may load: the application, study.js, pictures/
    responses.sqlite    made by `mammogan study serve`

Pictures are 8-bit PNG at full resolution in the display window. Nothing outside of the breast may tell the classes
apart, so all go through `equalized`, are stored uncompressed (a file's length then depends on its size in pixels
alone), carry no metadata and one time stamp, and have random names.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mammogan.atomic import write_json
from mammogan.types import Progress, no_progress

if TYPE_CHECKING:
    from mammogan.data.store import Store
from mammogan.errors import StudyError

FORMAT = "mammogan-study-1"
SECRET, PUBLIC, PICTURES, RESPONSES = "study.json", "public", "pictures", "responses.sqlite"
INGEST = ".ingest"  # stores of folders, until the pictures are written
STATIC = Path(__file__).parent / "static"
OPENSEADRAGON = "node_modules/openseadragon"
FLOOR = 1.0  # standard deviation of the noise floor, in gray levels of 255: below what a display shows
GRID = 64  # images of each set whose gray grid is looked at
FRAME = 320  # one pixel of black frame for every so many rows
PLAIN = 2048  # pixels; pictures with a longer side are cut into tiles
TILE = 512  # pixels
STAMP = 946684800  # one time for all files: 2000-01-01
HARMLESS = {"", "none", "no"}  # labels that say that there is no artifact
BROWSER_SESSIONS = 64  # sessions of a study that runs without a server


@dataclass(frozen=True)
class Pair:
    """One question: two pictures side by side, by their blinded names."""

    pair: str
    left: str
    right: str
    real_side: str
    real_id: str
    synthetic_id: str


@dataclass(frozen=True)
class ReaderStudy:
    """A study that was built.

    Attributes:
        folder: where it lies.
        seed: of everything random.
        pairs: questions a session.
        real, synthetic: (blinded name, id in the store) of each picture of a pool.
        title, note: what readers see.
    """

    folder: Path
    seed: int
    pairs: int
    real: tuple[tuple[str, str], ...]
    synthetic: tuple[tuple[str, str], ...]
    title: str
    note: str

    @classmethod
    def open(cls, folder: str | Path) -> ReaderStudy:
        """Open a study.

        Raises:
            StudyError: there is none in `folder`.
        """
        folder = Path(folder)
        try:
            content = json.loads((folder / SECRET).read_text(encoding="utf-8"))
        except OSError:
            raise StudyError(f"There is no study in {folder}; make one with `mammogan study build`.") from None
        if content.get("format") != FORMAT:
            raise StudyError(f"The study {folder} was built by another version; build it again.")
        pools = {name: tuple((p["name"], p["id"]) for p in content["pools"][name]) for name in ("real", "synthetic")}
        told = content["title"], content["note"]
        return cls(folder, content["seed"], content["pairs"], pools["real"], pools["synthetic"], *told)

    @cached_property
    def id(self) -> str:
        """Public name of the study: tells two studies in one browser apart."""
        return hashlib.sha256(repr((self.seed, self.pairs, self.real, self.synthetic)).encode()).hexdigest()[:12]

    def session(self, number: int) -> list[Pair]:
        """The questions of a session, a function of (seed, number).

        Images are drawn with replacement from their pools, independently of all else, as in the paper ("Statistical
        analyses"); each pair lies either way round with probability one half, and the order is random.
        """
        rng = np.random.default_rng([self.seed, 2, number])
        chosen = zip(
            rng.integers(len(self.real), size=self.pairs),
            rng.integers(len(self.synthetic), size=self.pairs),
            rng.integers(2, size=self.pairs),
            strict=True,
        )
        drawn = []
        for real, synthetic, swapped in chosen:
            (real_name, real_id), (synthetic_name, synthetic_id) = self.real[real], self.synthetic[synthetic]
            names = (synthetic_name, real_name) if swapped else (real_name, synthetic_name)
            code = hashlib.sha256(f"{real_name} {synthetic_name}".encode()).hexdigest()[:12]
            drawn.append(Pair(code, *names, "right" if swapped else "left", real_id, synthetic_id))
        return [drawn[position] for position in rng.permutation(self.pairs)]


def equalized(image: np.ndarray, bits: int, steps: int, rng: np.random.Generator) -> np.ndarray:
    """A picture for the screen, with everything made equal that tells classes apart without a look at the breast.

    - Gray grid: all are rounded to the coarsest grid among the two sets, and then shown in 8 bits with noise of one
      gray level (`FLOOR`), which fills the gaps that a coarse grid or a stretched contrast leaves in the histogram.
    - Noise floor: the same noise; nothing in a picture is quieter. What exceeds it is texture, for the reader to judge.
    - Background: black outside of the breast's outline. Burnt-in letters, scatter and a generator's uneven black go.
    - Border: a black frame covers what resizing or padded convolutions leave at the edge.

    Args:
        image: gray levels 0 ... 2^bits - 1, (h, w).
        bits: of the store.
        steps: gray levels of the coarsest grid less one, see `grid_steps`.
        rng: source of the noise.

    Returns:
        uint8 (h, w).
    """
    from scipy import ndimage

    from mammogan.data.segmentation import breast_mask

    h, w = image.shape
    gray = np.rint(image.astype(np.float32) * np.float32(steps / (2**bits - 1))) * np.float32(255 / steps)
    gray += FLOOR * rng.standard_normal(gray.shape, np.float32)
    inside = ndimage.binary_fill_holes(breast_mask(image))
    # The outline is found in a smoothed image and lies a little outside; what it encloses fades in, without an edge.
    soft = max(h // FRAME, 1)
    inside = ndimage.binary_erosion(inside, iterations=min(h, w) // 200 + soft, border_value=1)
    weight = ndimage.uniform_filter(inside.astype(np.float32), 2 * soft + 1)
    weight[:soft] = weight[-soft:] = weight[:, :soft] = weight[:, -soft:] = 0
    return np.rint(np.clip(gray, 0, 255) * weight).astype(np.uint8)


def displayed(image: np.ndarray, bits: int, steps: int = 0, rng: np.random.Generator | None = None) -> np.ndarray:
    """A picture for the screen as it is, uint8 (h, w): what `equalized` is measured against."""
    return np.rint(image.astype(np.float32) * np.float32(255 / (2**bits - 1))).astype(np.uint8)


def grid_steps(images: Iterable[np.ndarray], bits: int) -> int:
    """How fine the gray grid is that images of a store use: 2^bits - 1, or less where they came from fewer bits.

    Images of 8 bits in a store of 12 use every sixteenth level, and that alone tells them from others. The levels that
    occur in any of the images are taken together; a grid is coarse where nearly all gaps between them are alike.

    Args:
        images: gray levels 0 ... 2^bits - 1.
        bits: of the store.
    """
    top = 2**bits - 1
    seen = np.zeros(top + 1, bool)
    for image in images:
        seen[np.unique(image)] = True
    # The darkest tenth is background, whose noise may have been added on another grid.
    gaps = np.diff(np.flatnonzero(seen[top // 10 :]))
    if len(gaps) < 8:
        return top
    middle = float(np.median(gaps))
    regular = np.abs(gaps - middle) <= 1
    # Few pixels leave gaps of all lengths in a fine grid.
    return top if middle <= 1 or regular.mean() < 0.8 else round(top / float(gaps[regular].mean()))


def build(
    real: str | Path,
    synthetic: str | Path,
    out: str | Path,
    *,
    pairs: int = 10,
    pool: int = 0,
    seed: int | None = None,
    size: tuple[int, int] | None = None,
    view: str = "",
    labels: Iterable[Path] = (),
    exclude_labels: Iterable[str] = (),
    exclude: Iterable[Path] = (),
    title: str = "Which mammogram is real?",
    note: str = "",
    browser: bool = False,
    picture: Callable[[np.ndarray, int, int, np.random.Generator], np.ndarray] = equalized,
    progress: Progress = no_progress,
) -> ReaderStudy:
    """Build a study; the folder is there when it is whole, and not before.

    Args:
        real, synthetic: a store, or a folder of DICOM files or pictures, which is ingested first.
        out: folder of the study.
        pairs: questions a session.
        pool: images of each class to draw from, chosen at random among those that are not excluded; 0 takes all.
        seed: of everything random. None draws a secret one: who knows the seed and the images can work out the truth.
        size: (height, width) of the pictures; None takes the largest that both stores have (1280 x 1024 where there is
            no store).
        view: take only images of this view; a store that knows no views is taken whole.
        labels: CSV files with the columns id and label; an image with a label other than "none" is excluded.
        exclude_labels: exclude only these labels.
        exclude: hand lists: text files with an id a line, and where wanted a comma and a reason.
        title, note: what readers see above the instructions.
        browser: make a study that runs without a server; then the truth lies in public/study.js, hardly hidden.
        picture: makes a picture of an image.
        progress: counts "pictures".

    Raises:
        StudyError: the folder is not empty, an option is out of range, an id is unknown, or a pool is empty.
        SetsError: the sets differ in bit depth, window or laterality, or have no such size in common.
    """
    from mammogan.data.pairs import compare_stores, open_pair

    out = Path(out)
    if (out / RESPONSES).exists():
        raise StudyError(f"{out} holds responses; export them and give another folder.")
    if out.exists() and any(out.iterdir()):
        raise StudyError(f"The folder {out} is not empty; give another or add --force.")
    if pairs < 1 or pool < 0:
        raise StudyError(f"A session of {pairs} pairs from pools of {pool} cannot be; choose 1 or more pairs.")
    seed = secrets.randbits(62) if seed is None else seed
    aside = out.with_name(f".{out.name}.aside")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True, mode=0o700)
    height, width = size or (0, 0)
    opened = open_pair(real, synthetic, aside / INGEST / "set", height=height, width=width)
    size = compare_stores(*opened, size)
    stores = dict(zip(("real", "synthetic"), opened, strict=True))
    rules = _Exclusions(labels, exclude_labels, exclude)
    pools: dict[str, list[int]] = {}
    for number, (name, store) in enumerate(stores.items()):
        kept = rules.apply(name, store, view)
        if not kept:
            raise StudyError(f"No {name} image is left after the exclusions; loosen them or give more images.")
        if pool:
            if pool > len(kept):
                raise StudyError(f"A pool of {pool} cannot be drawn from {len(kept)} {name} images; choose fewer.")
            kept = sorted(np.random.default_rng([seed, 0, number]).choice(kept, pool, replace=False).tolist())
        pools[name] = kept
    rules.check_unknown()
    named = _write_pictures(stores, pools, size, seed, aside / PUBLIC / PICTURES, picture, progress)
    shutil.rmtree(aside / INGEST, ignore_errors=True)
    write_json(
        aside / SECRET,
        {
            "format": FORMAT,
            "title": title,
            "note": note,
            "seed": seed,
            "pairs": pairs,
            "size": list(size),
            "view": view,
            "stores": {name: store.fingerprint for name, store in stores.items()},
            "excluded": rules.record,
            "pools": named,
        },
    )
    (aside / SECRET).chmod(0o600)
    study = ReaderStudy.open(aside)
    write_application(study, aside / PUBLIC, size, browser)
    aside.chmod(0o755)
    if out.exists():
        out.rmdir()
    aside.rename(out)
    return ReaderStudy.open(out)


def write_application(study: ReaderStudy, public: Path, size: tuple[int, int], browser: bool) -> None:
    """The application's files and study.js, which tells it what it may know.

    Raises:
        StudyError: OpenSeadragon is not installed.
    """
    from mammogan.report.provenance import ROOT

    viewer = ROOT / OPENSEADRAGON
    script = viewer / "build" / "openseadragon" / "openseadragon.min.js"
    if not script.is_file():
        raise StudyError("OpenSeadragon is missing; run make setup (or npm ci) in the checkout.")
    for path in (*STATIC.iterdir(), script):
        shutil.copyfile(path, public / path.name)
    shutil.copyfile(viewer / "LICENSE.txt", public / "openseadragon.LICENSE.txt")
    known: dict[str, Any] = {
        "mode": "browser" if browser else "server",
        "id": study.id,
        "title": study.title,
        "note": study.note,
        "pairs": study.pairs,
        "height": size[0],
        "width": size[1],
        "tile": TILE if max(size) > PLAIN else 0,
    }
    if browser:
        sessions = [[vars(pair) for pair in study.session(number)] for number in range(BROWSER_SESSIONS)]
        # Encoded against a glance, not against a reader who looks for it: without a server it cannot be kept.
        known["sessions"] = base64.b64encode(json.dumps(sessions).encode()).decode()
    (public / "study.js").write_text(f"window.STUDY = {json.dumps(known, indent=1)};\n", encoding="utf-8")


class _Exclusions:
    """Which images are left out, and the record of it."""

    def __init__(self, labels: Iterable[Path], only: Iterable[str], lists: Iterable[Path]) -> None:
        self.reasons: dict[str, list[str]] = {}
        self.record: list[dict[str, str]] = []
        only = set(only)
        for path in labels:
            for row in _rows(path, ("id", "label")):
                label = row["label"].strip()
                if label in only or (not only and label.lower() not in HARMLESS):
                    self.reasons.setdefault(row["id"].strip(), []).append(f"label {label}")
        self.by_hand: set[str] = set()
        for path in lists:
            for line in _text(path).splitlines():
                name, _, reason = (part.strip() for part in line.partition(","))
                if name and name != "id" and not name.startswith("#"):
                    self.by_hand.add(name)
                    self.reasons.setdefault(name, []).append(f"by hand: {reason}" if reason else "by hand")

    def apply(self, name: str, store: Store, view: str) -> list[int]:
        """Positions of the images of a store that stay."""
        rows = store.manifest
        views = rows["view"] if view and rows["view"].notna().any() else None
        kept = []
        for position, image in enumerate(rows["id"]):
            reasons = list(self.reasons.get(image, []))
            if views is not None and views.iloc[position] != view:
                reasons.append(f"view is not {view}")
            self.by_hand.discard(image)
            if reasons:
                self.record.append({"set": name, "id": image, "reason": "; ".join(dict.fromkeys(reasons))})
            else:
                kept.append(position)
        return kept

    def check_unknown(self) -> None:
        """Refuse a hand list that names an image which neither store has: a typing error would let an image in."""
        if self.by_hand:
            raise StudyError(f"The hand list names {min(self.by_hand)!r}, which is in neither set; correct it.")


def _rows(path: Path, columns: tuple[str, ...]) -> list[dict[str, str]]:
    rows = csv.DictReader(_text(path).splitlines())
    if missing := [name for name in columns if name not in (rows.fieldnames or ())]:
        raise StudyError(f"{path} has no column {missing[0]!r}; give a CSV with the columns {', '.join(columns)}.")
    return [{name: row[name] or "" for name in columns} for row in rows]


def _text(path: Path) -> str:
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise StudyError(f"{path} is no text in UTF-8; save it as such.") from None


def _write_pictures(
    stores: dict[str, Store],
    pools: dict[str, list[int]],
    size: tuple[int, int],
    seed: int,
    folder: Path,
    picture: Callable[[np.ndarray, int, int, np.random.Generator], np.ndarray],
    progress: Progress,
) -> dict[str, list[dict[str, str]]]:
    """Write both pools in mixed order under random names; which name is which image."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng([seed, 1])
    images = {name: store.images(size) for name, store in stores.items()}
    steps = min(
        grid_steps((np.asarray(images[name][i]) for i in pools[name][:GRID]), store.bits)
        for name, store in stores.items()
    )
    wanted = [(name, position) for name, positions in pools.items() for position in positions]
    names = [rng.bytes(8).hex() for _ in wanted]
    for done, turn in enumerate(rng.permutation(len(wanted)), 1):
        name, position = wanted[turn]
        shown = picture(np.asarray(images[name][position]), stores[name].bits, steps, rng)
        write_picture(shown, folder, names[turn])
        progress("pictures", done, len(wanted))
    record: dict[str, list[dict[str, str]]] = {name: [] for name in pools}
    for (name, position), blinded in zip(wanted, names, strict=True):
        record[name].append({"name": blinded, "id": stores[name].manifest["id"].iloc[position]})
    return record


def write_picture(shown: np.ndarray, folder: Path, name: str) -> None:
    """NAME.png, or NAME/LEVEL/COLUMN_ROW.png where the picture is large: tiles of a pyramid as Deep Zoom cuts them.

    Level 0 is one pixel; each level is twice as large as the one before, and tiles do not overlap.
    """
    from PIL import Image

    def save(part: Image.Image, path: Path) -> None:
        part.save(path, format="PNG", compress_level=0)
        os.utime(path, (STAMP, STAMP))

    level = Image.fromarray(shown)
    if max(level.size) <= PLAIN:
        save(level, folder / f"{name}.png")
        return
    for number in range((max(level.size) - 1).bit_length(), -1, -1):
        place = folder / name / str(number)
        place.mkdir(parents=True)
        width, height = level.size
        for left in range(0, width, TILE):
            for top in range(0, height, TILE):
                box = (left, top, min(left + TILE, width), min(top + TILE, height))
                save(level.crop(box), place / f"{left // TILE}_{top // TILE}.png")
        level = level.resize((max((width + 1) // 2, 1), max((height + 1) // 2, 1)), Image.Resampling.BOX)
