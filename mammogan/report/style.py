"""Figures of the book: one look, colors that color-blind readers can tell apart, radiographs in linear gray."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

# Okabe & Ito (2008), vermilion and blue: apart for every common color vision, and in print without color.
REAL, SYNTHETIC = "#D55E00", "#0072B2"


def apply_style() -> None:
    """Set the book's look; call it once at the top of a notebook.

    Figures keep a white ground, so that one picture reads on a light and on a dark page. Tables show every word.
    """
    pd.set_option("display.max_colwidth", None)
    plt.rcParams.update(
        {
            "figure.dpi": 110,
            "savefig.facecolor": "white",
            "figure.facecolor": "white",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.titlesize": "medium",
            "legend.frameon": False,
            "image.cmap": "gray",
            "image.interpolation": "nearest",
            "svg.hashsalt": "mammogan",
        }
    )


def empty(text: str) -> Figure:
    """Draw a figure that only says why it is empty."""
    figure, axis = plt.subplots(figsize=(6, 0.6))
    axis.text(0.5, 0.5, text, ha="center", va="center")
    axis.axis("off")
    return figure


def contact_sheet(
    images: np.ndarray, bits: int, columns: int, titles: Sequence[str] | None = None, scale: float = 1.15
) -> Figure:
    """Draw images (n, h, w) in rows of `columns`, in linear gray from 0 to 2^bits - 1, each `scale` inches wide."""
    n, h, w = images.shape
    rows = -(-n // columns)
    height = rows * scale * h / w * (1.12 if titles else 1)
    figure, axes = plt.subplots(rows, columns, figsize=(columns * scale, height), squeeze=False)
    for number, axis in enumerate(axes.flat):
        axis.axis("off")
        if number < n:
            axis.imshow(images[number], cmap="gray", vmin=0, vmax=2**bits - 1)
            if titles:
                axis.set_title(titles[number], fontsize=7, pad=2)
    figure.subplots_adjust(0, 0, 1, 0.97 if titles else 1, wspace=0.03, hspace=0.12 if titles else 0.03)
    return figure


def display_steps(steps: Sequence[tuple[str, np.ndarray]]) -> Figure:
    """Draw one image step by step, (title, gray values) each, from the smallest to the largest value of the step."""
    figure, axes = plt.subplots(2, len(steps), figsize=(3.1 * len(steps), 5), height_ratios=(3, 1), squeeze=False)
    for (title, gray), picture, histogram in zip(steps, *axes, strict=True):
        picture.imshow(gray, cmap="gray", vmin=gray.min(), vmax=gray.max())
        picture.set_title(f"{title}\n{gray.shape[0]} x {gray.shape[1]}", fontsize=9)
        picture.axis("off")
        histogram.hist(gray.ravel(), 64, color="0.35", log=True)
        histogram.set_xlabel("gray value", fontsize=8)
        histogram.tick_params(labelsize=6)
    axes[1, 0].set_ylabel("pixels", fontsize=8)
    figure.tight_layout()
    return figure


def windows(manifest: pd.DataFrame) -> Figure:
    """Draw the default windows of the accepted images, center against width, and the number of images per device."""
    import seaborn as sns

    facts = manifest.assign(
        device=manifest["manufacturer"].fillna("none") + ", " + manifest["window_function"].fillna("none")
    )
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.4), width_ratios=(3, 2), layout="constrained")
    colors = {"hue": "device", "legend": False}
    colors["palette"] = dict(zip(sorted(facts["device"].unique()), sns.color_palette("colorblind", 64), strict=False))
    windowed = facts.dropna(subset=["window_center", "window_width"])
    sns.scatterplot(windowed, x="window_center", y="window_width", ax=left, s=24, alpha=0.5, **colors)
    left.set(xlabel="window center", ylabel="window width")
    sns.countplot(facts, y="device", order=facts["device"].value_counts().index, ax=right, **colors)
    right.set(xlabel="images", ylabel="")
    return figure


def spectra(frequency: np.ndarray, power: dict[str, np.ndarray]) -> Figure:
    """Draw radial power spectra "real" and "synthetic", (bins,) each, against cycles per pixel on logarithmic axes."""
    figure, axis = plt.subplots(figsize=(5.5, 3.6))
    for name, color in (("real", REAL), ("synthetic", SYNTHETIC)):
        positive = power[name] > 0
        axis.loglog(frequency[positive], power[name][positive], color=color, label=name, marker=".")
    axis.set_xlabel("spatial frequency, cycles per pixel")
    axis.set_ylabel("power")
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.legend()
    figure.tight_layout()
    return figure
