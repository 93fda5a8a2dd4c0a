"""README's picture, from the two figures of the book's first page: python benchmarks/overview.py

Run `make book PROFILE=reference` before; it writes .github/overview.png, of 1200 x 630 pixels as previews want them.
"""

from __future__ import annotations

from PIL import Image, ImageOps

from mammogan.report.provenance import ROOT

SIZE, LEFT = (1200, 630), 712  # pixels, and those of the figure at the left
FIGURES = ("05_reader_statistics/figures/readers.png", "02_progressive_training/figures/sixteen.png")


def main() -> None:
    """Write both figures beside each other, each as large as its part allows, on white and on black."""
    readers, sixteen = (Image.open(ROOT / "runs" / "reference" / figure).convert("RGB") for figure in FIGURES)
    picture = Image.new("RGB", SIZE, "white")
    picture.paste(ImageOps.pad(readers, (LEFT, SIZE[1]), Image.Resampling.LANCZOS, "white"), (0, 0))
    picture.paste(ImageOps.pad(sixteen, (SIZE[0] - LEFT, SIZE[1]), Image.Resampling.LANCZOS, "black"), (LEFT, 0))
    picture.save(ROOT / ".github" / "overview.png", optimize=True)


if __name__ == "__main__":
    main()
