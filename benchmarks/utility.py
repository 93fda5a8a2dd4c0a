"""What are synthetic phantoms worth for training a classifier of lesions, next to more real phantoms?

    python benchmarks/utility.py OUT [--count 1600] [--images 300000] [--height 80] [--label finding --positive mass]

Draws phantoms, trains a generator that receives the label on the training split of `--count` of them, draws four
images for each, and compares arms of training; three times as many phantoms of other patients tell what more real
images are worth. Every step is continued where OUT holds a part of it. The tables are printed and kept as
benchmarks/results/utility_phantoms.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mammogan.atomic import write_text
from mammogan.data.ingest import Settings, ingest
from mammogan.data.phantom.population import write_population
from mammogan.data.store import Store
from mammogan.gan.config import preset
from mammogan.gan.device import configure_device
from mammogan.gan.sampling import Draw, sample
from mammogan.gan.training import Run
from mammogan.report.utility import Utility, UtilitySettings, printed, utility

RESULT = Path(__file__).parent / "results" / "utility_phantoms.md"
FURTHER = 3  # times as many phantoms that the generator does not see


def population(folder: Path, count: int, seed: int, height: int, workers: int) -> Store:
    """Draw phantoms at twice the height of the store or more, since small ones are refused, chest walls at the left."""
    width, scale = height * 4 // 5, max(2, -(-160 // height))
    phantoms = folder.with_name(f"{folder.name}.phantoms")
    write_population(phantoms, count, seed, height=scale * height, width=scale * width, workers=workers)
    return ingest([phantoms], folder, Settings(height=height, width=width, laterality="left"), workers=workers)


def table(found: Utility, images: int) -> str:
    """Return the tables in Markdown."""
    facts = found.facts
    lines = [
        "# What synthetic phantoms are worth for training",
        "",
        f"Label: {facts['label']}; {facts['size']} pixels; {facts['train']} real training images, {facts['further']} "
        f"further ones, {facts['synthetic']} synthetic ones ({facts['copies']} left out as copies) of a generator that "
        f"had seen {images} images; {facts['test']} test images ({facts['test.positive']} positive) of "
        f"{facts['test.patients']} patients; {facts['seeds']} seeds. Values have 95 % intervals over both.",
    ]
    for frame in printed(found):
        rows = [list(map(str, frame.columns)), ["---"] * frame.shape[1], *np.asarray(frame, str).tolist()]
        lines += ["", *("| " + " | ".join(row) + " |" for row in rows)]
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line, make what is missing, compare, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--count", type=int, default=1600)
    parser.add_argument("--images", type=int, default=300_000)
    parser.add_argument("--height", type=int, default=80)
    parser.add_argument("--label", default="finding")
    parser.add_argument("--positive", nargs="*", default=["mass"])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--device", default="")
    parser.add_argument("--result", type=Path, default=RESULT)
    given = parser.parse_args(arguments)
    real = population(given.out / "real", given.count, 1, given.height, given.workers)
    further = population(given.out / "further", FURTHER * given.count, 2, given.height, given.workers)
    phase = given.images // (4 * len(real.sizes))
    changes = {"levels": 0, "split": "train", "condition": f"view,{given.label}", "total_images": given.images}
    changes |= {"stable_images": phase, "fade_images": phase, "augment": 0.6, "checkpoint_images": 0}
    device = configure_device(given.device)
    Run.open(real, given.out / "run", preset("smoke").changed(changes), device).train()
    count = 4 * int((real.manifest["split"] == "train").sum())
    sample(given.out / "run", given.out / "synthetic", Draw(count, 1), "zarr", device)
    settings = UtilitySettings(given.label, tuple(given.positive), height=given.height, seeds=given.seeds)
    found = utility(real.path, given.out / "synthetic", given.out / "report", settings, more=further.path)
    text = table(found, given.images)
    write_text(given.result, text)
    print(text)


if __name__ == "__main__":
    main()
