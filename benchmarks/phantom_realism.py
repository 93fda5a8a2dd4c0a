"""Compare phantoms with real mammograms: moments, spectrum, gray values and contact sheets, to tune the phantoms.

    python benchmarks/phantom_realism.py REAL --out OUT [--count 240] [--seed 0]

REAL is a folder of real images (pictures with a labels CSV, or DICOM). Contact sheets and figures in OUT show
real images and are not for publication. The table is printed and kept as benchmarks/results/phantom_realism.md.
"""

from __future__ import annotations

import argparse
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from mammogan.data.ingest import Settings, ingest
from mammogan.data.phantom.population import write_population
from mammogan.data.segmentation import breast_mask, chest_side
from mammogan.data.store import Store
from mammogan.metrics.moments import MOMENT_NAMES, image_moments
from mammogan.metrics.spectrum import radial_power_spectrum
from mammogan.report import style
from mammogan.report.alignment_figures import moment_scatter

SIZE = (640, 512)
RESULT = Path(__file__).parent / "results" / "phantom_realism.md"


def quantities(store: Store, view: str) -> pd.DataFrame:
    """Measure the images of a view, one row per image."""
    rows = np.flatnonzero(store.manifest["view"] == view)
    array, top = store.images(SIZE), 2**store.bits - 1
    measured = []
    for row in rows:
        pixels = np.asarray(array[int(row)])
        gray = pixels / top
        mask = breast_mask(gray)
        inside = gray[mask]
        # A patch of the interior, near the chest wall at half height, where no skin or background disturbs the slope.
        flipped = gray if chest_side(gray) == "L" else gray[:, ::-1]
        frequency, power = radial_power_spectrum(flipped[None, 256:384, 40:168])
        band = (frequency > 0.02) & (frequency < 0.15) & (power > 0)
        slope = -np.polyfit(np.log(frequency[band]), np.log(power[band]), 1)[0] if band.sum() > 3 else np.nan
        moments = image_moments(pixels[None], store.bits)[0]
        low, middle, high = np.quantile(inside, [0.05, 0.5, 0.99])
        measured.append([*moments, mask.mean(), inside.mean(), inside.std(), low, middle, high, slope])
    names = ["breast area", "mean inside", "sd inside", "5th percentile", "median", "99th percentile", "exponent"]
    return pd.DataFrame(measured, columns=[*MOMENT_NAMES, *names])


def compare(real: pd.DataFrame, phantom: pd.DataFrame, view: str) -> list[str]:
    """Return the lines of the table for one view."""
    lines = []
    for name in real.columns:
        a, b = real[name].dropna().to_numpy(), phantom[name].dropna().to_numpy()
        cells = [f"{np.median(x):.3g} [{np.quantile(x, 0.05):.3g}, {np.quantile(x, 0.95):.3g}]" for x in (a, b)]
        within = [np.mean((x >= np.quantile(y, 0.025)) & (x <= np.quantile(y, 0.975))) for x, y in ((b, a), (a, b))]
        distance = stats.ks_2samp(a, b).statistic
        lines.append(
            f"| {view} | {name} | {cells[0]} | {cells[1]} | {within[0]:.0%} | {within[1]:.0%} | {distance:.2f} |"
        )
    return lines


def main() -> None:
    """Parse the command line, compare, and write the table and the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("real", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=240)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    style.apply_style()
    settings = Settings(height=SIZE[0], width=SIZE[1])
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        write_population(work / "phantoms", arguments.count, arguments.seed, height=SIZE[0], width=SIZE[1], workers=2)
        stores = {
            "real": ingest([arguments.real], work / "real", settings),
            "phantom": ingest([work / "phantoms"], work / "phantom", settings),
        }
        lines = []
        for view in ("CC", "MLO"):
            tables = {name: quantities(store, view) for name, store in stores.items()}
            lines += compare(tables["real"], tables["phantom"], view)
            names = list(MOMENT_NAMES)
            clouds = moment_scatter(tables["real"][names].to_numpy(), tables["phantom"][names].to_numpy())
            clouds.savefig(arguments.out / f"moments_{view}.png")
            rng = np.random.default_rng(arguments.seed)
            rows = [
                np.sort(rng.choice(np.flatnonzero(store.manifest["view"] == view), 16, replace=False))
                for store in stores.values()
            ]
            images = [
                np.asarray(store.images((160, 128))[int(i)])
                for store, chosen in zip(stores.values(), rows, strict=True)
                for i in chosen
            ]
            sheet = style.contact_sheet(np.stack(images), 12, 8, ["real"] * 16 + ["phantom"] * 16)
            sheet.savefig(arguments.out / f"sheet_{view}.png", dpi=150)
        counts = {name: len(store) for name, store in stores.items()}
    header = [
        "# Phantoms and real mammograms",
        "",
        f"{datetime.now(UTC).date()}; {counts['real']} real images and {counts['phantom']} phantoms (seed "
        f"{arguments.seed}) at {SIZE[0]} x {SIZE[1]}, 12 bits. Median [5th, 95th percentile]; share of one set within "
        "the central 95 % of the other; Kolmogorov-Smirnov distance. Moments over all pixels, full range 1. "
        "Exponent of the radial power spectrum of a 128 x 128 patch inside the breast, 0.02 to 0.15 cycles per pixel.",
        "",
        "| View | Quantity | Real | Phantoms | Phantoms within real | Real within phantoms | KS |",
        "|---|---|---|---|---|---|---|",
    ]
    source = [
        "",
        "Real images: CDD-CESM, low-energy images (Khaled et al. 2021, doi:10.7937/29kw-ae92; Sci Data 9:122, 2022; "
        "The Cancer Imaging Archive), CC BY 4.0; letterboxed upstream, cropped here.",
    ]
    text = "\n".join([*header, *lines, *source]) + "\n"
    RESULT.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
