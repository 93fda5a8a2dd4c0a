"""Figures of the book: one look, colors that color-blind readers can tell apart, radiographs in linear gray.

Charts are drawn on white and kept as SVG, which a dark page turns; radiographs are on black, as on a light box, and
stay as they are. Figures are as wide as the text area of a page or as the page, where an inch has 100 pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

WIDTH, WIDE = 7.74, 10.6  # inches
TITLE = 0.2  # height of a line of text between pictures, inches
# Okabe & Ito (2008), vermilion and blue: apart for every common color vision, and in print without color.
REAL, SYNTHETIC = "#D55E00", "#0072B2"


def apply_style() -> None:
    """Set the look of book.mplstyle, and show every word of tables; call it once at the top of a notebook."""
    pd.set_option("display.max_colwidth", None)
    plt.style.use("mammogan.report.book")


@contextmanager
def light_box() -> Iterator[None]:
    """Set the look of figures with radiographs, white on black; as a decorator, for a function that draws."""
    with plt.style.context("mammogan.report.light_box"):
        yield


def on_light_box(figure: Figure) -> bool:
    """Return whether a figure is of radiographs, on black."""
    return to_rgb(figure.get_facecolor()) == (0, 0, 0)


@light_box()
def contact_sheet(
    images: Sequence[np.ndarray],
    bits: int,
    columns: int,
    titles: Sequence[str] = (),
    labels: Sequence[str] = (),
    width: float = WIDTH,
) -> Figure:
    """Draw images in rows, in linear gray.

    Args:
        images: (h, w) each, all of one shape, in 0 ... 2^bits - 1.
        bits: bits per pixel.
        columns: images per row.
        titles: title of each image.
        labels: label of each row.
        width: width of the figure, inches.
    """
    h, w = images[0].shape
    rows, left, gap = -(-len(images) // columns), 0.17 if labels else 0.0, TITLE if titles else 0.03
    tall = width * (1 - left) / columns * h / w  # of an image, inches
    height = rows * (tall + gap)
    figure, axes = plt.subplots(rows, columns, figsize=(width, height), squeeze=False)
    for axis, image in zip(axes.flat, images, strict=False):
        axis.imshow(image, cmap="gray", vmin=0, vmax=2**bits - 1)
    for axis, title in zip(axes.flat, titles, strict=False):
        axis.set_title(title, pad=2)
    for axis, label in zip(axes[:, 0], labels, strict=False):
        axis.text(-0.1, 0.5, label, ha="right", va="center", transform=axis.transAxes)
    for axis in axes.flat:
        axis.axis("off")
    figure.subplots_adjust(left, 0, 1, 1 - gap / height, wspace=0.03, hspace=gap / tall)
    return figure


@light_box()
def display_steps(steps: Sequence[tuple[str, np.ndarray]]) -> Figure:
    """Draw one image step by step, (title, gray values) each, from the smallest to the largest value of the step."""
    size = (WIDTH, 5)
    figure, axes = plt.subplots(2, len(steps), figsize=size, height_ratios=(3, 1), squeeze=False, layout="constrained")
    for (title, gray), picture, histogram in zip(steps, *axes, strict=True):
        picture.imshow(gray, cmap="gray", vmin=gray.min(), vmax=gray.max())
        picture.set_title(f"{title}\n{gray.shape[0]} x {gray.shape[1]}")
        picture.axis("off")
        histogram.hist(gray.ravel(), 64, color="0.7", log=True)
        histogram.set_xlabel("gray value")
    axes[1, 0].set_ylabel("pixels")
    return figure


def windows(manifest: pd.DataFrame) -> Figure:
    """Draw the default windows of the accepted images, center against width, and the number of images per device."""
    import seaborn as sns

    device = manifest["manufacturer"].fillna("none") + ", " + manifest["window_function"].fillna("none")
    facts = manifest.assign(device=device)
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 3.4), width_ratios=(3, 2), layout="constrained")
    palette = dict(zip(sorted(device.unique()), sns.color_palette("colorblind", 64), strict=False))
    look = {"hue": "device", "palette": palette, "legend": False}
    windowed = facts.dropna(subset=["window_center", "window_width"])
    sns.scatterplot(windowed, x="window_center", y="window_width", ax=left, s=24, alpha=0.5, **look)
    left.set(xlabel="window center", ylabel="window width")
    sns.countplot(facts, y="device", order=device.value_counts().index, ax=right, **look)
    right.set(xlabel="images", ylabel="")
    return figure


def spectra(frequency: np.ndarray, power: Mapping[str, np.ndarray]) -> Figure:
    """Draw radial power spectra "real" and "synthetic", (bins,) each, against cycles per pixel on logarithmic axes."""
    figure, axis = plt.subplots(figsize=(WIDTH, 3.6), layout="constrained")
    table = pd.DataFrame({name: np.asarray(power[name]) for name in ("real", "synthetic")}, index=frequency)
    look = {"color": [REAL, SYNTHETIC], "marker": ".", "loglog": True, "ax": axis}
    table.where(table > 0).plot(xlabel="spatial frequency, cycles per pixel", ylabel="power", **look)
    axis.xaxis.set_minor_formatter(NullFormatter())
    return figure
