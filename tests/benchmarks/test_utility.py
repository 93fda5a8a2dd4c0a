"""The benchmark of utility runs to its end, and a second time uses what it made before."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import utility
from breasts import breast
from PIL import Image

from mammogan.metrics import utility as arms
from mammogan.metrics.classifiers import linear

MADE = ("real.phantoms", "real", "further.phantoms", "further", "run/checkpoints", "synthetic")


def drawn_population(out: Path, count: int, seed: int, *, height: int, width: int, workers: int) -> None:
    """Write drawn breasts, some with a mass, in place of phantoms, which take a third of a second each."""
    if out.exists():
        return
    out.mkdir(parents=True)
    with (out / "phantoms.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["file", "patient", "view", "laterality", "finding"])
        for number in range(count):
            rng, view = np.random.default_rng([seed, number]), ("CC", "MLO")[number % 2]
            finding = ("none", "mass")[int(rng.random() < 0.4)]
            image = breast(rng, view)
            if finding == "mass":
                image[34:44, 8:18] = 0.95
            image = image.repeat(2, 0).repeat(2, 1)
            assert image.shape == (height, width)
            Image.fromarray(np.rint(image * 65535).astype(np.uint16)).save(out / f"{number:07d}.png")
            table.writerow([f"{number:07d}.png", f"{seed}-{number // 2}", view, "L", finding])


def changed(folder: Path) -> dict[str, int]:
    """Return when each file was last written that takes long to make: images, stores and networks."""
    for name in MADE:
        assert any((folder / name).iterdir())
    files = (path for name in MADE for path in (folder / name).rglob("*") if path.is_file() and path.name != ".lock")
    return {str(path): path.stat().st_mtime_ns for path in files}


@pytest.mark.slow
def test_the_benchmark_ends_and_a_second_time_uses_what_it_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(utility, "write_population", drawn_population)
    monkeypatch.setattr(arms, "CLASSIFIERS", {"linear": linear})  # the network has tests of its own
    out, result = tmp_path / "out", tmp_path / "result.md"
    options = {"count": 64, "images": 96, "height": 40, "seeds": 1, "workers": 1, "device": "cpu", "result": result}
    arguments = [str(out), *(text for name, value in options.items() for text in (f"--{name}", str(value)))]
    utility.main(arguments)
    text = result.read_text()
    assert "Label: finding mass; 40 x 32 pixels" in text and "had seen 96 images" in text
    assert "| linear | real and synthetic, 4 each |" in text and "real images |" in text
    before = changed(out)
    result.unlink()
    utility.main(arguments)
    assert result.read_text() == text and changed(out) == before
