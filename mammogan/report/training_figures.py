"""Figures of the training chapter: the paper's Figures 1, 2 and 5 redrawn, the log of a run, and how it grew."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle
from matplotlib.ticker import MaxNLocator

from mammogan.report.style import REAL, SYNTHETIC


def adversaries(real: np.ndarray | None, synthetic: np.ndarray, bits: int) -> Figure:
    """Figure 1: a scheme of the two networks, with one real and one synthetic image (h, w); None: it is not shown."""
    figure, axis = plt.subplots(figsize=(9, 4.2))
    axis.axis("off")

    def box(x: float, y: float, text: str, color: str) -> None:
        axis.add_patch(
            FancyBboxPatch((x, y), 1.5, 0.8, boxstyle="round,pad=0.04", facecolor=color, edgecolor="none", alpha=0.25)
        )
        axis.text(x + 0.75, y + 0.4, text, ha="center", va="center", fontsize=10)

    def arrow(start: tuple[float, float], stop: tuple[float, float], text: str = "", **style: Any) -> None:
        look: dict[str, Any] = {"arrowstyle": "-|>", "mutation_scale": 13, "color": "0.3", "lw": 1.2, **style}
        axis.add_patch(FancyArrowPatch(start, stop, **look))
        if text:
            axis.text((start[0] + stop[0]) / 2, stop[1] + 0.07, text, ha="center", fontsize=8, color="0.3")

    height = 1.25
    width = height * synthetic.shape[1] / synthetic.shape[0]

    def picture(image: np.ndarray | None, y: float, title: str) -> None:
        if image is None:
            axis.add_patch(Rectangle((4.55 - width / 2, y), width, height, facecolor="0.9", edgecolor="0.6"))
            axis.text(4.55, y + height / 2, "not shown\nhere", ha="center", va="center", fontsize=8)
        else:
            place = (4.55 - width / 2, 4.55 + width / 2, y, y + height)
            axis.imshow(image, extent=place, vmin=0, vmax=2**bits - 1, zorder=2)
        axis.text(4.55, y + height + 0.06, title, ha="center", fontsize=9)

    axis.text(0.65, 0.9, "random vector\n$z \\sim N(0, I)$", ha="center", va="center", fontsize=9)
    box(1.85, 0.5, "generator\n$G$", SYNTHETIC)
    picture(synthetic, 0.2, "synthetic image $G(z)$")
    picture(real, 2.0, "real image $x$")
    box(6.1, 1.35, "discriminator\n$D$", REAL)
    axis.text(8.35, 1.75, "score\n$D(x)$ high,\n$D(G(z))$ low", ha="center", va="center", fontsize=9)
    arrow((1.25, 0.9), (1.78, 0.9))
    arrow((3.42, 0.9), (3.98, 0.9))
    arrow((5.12, 0.9), (6.3, 1.28))
    arrow((5.12, 2.6), (6.3, 2.22))
    arrow((7.68, 1.75), (7.85, 1.75))
    arrow((6.85, 1.3), (2.6, 0.44), color=SYNTHETIC, ls="--", connectionstyle="arc3,rad=-0.42")
    axis.text(
        6.6, 0.1, "$G$ is trained to raise the score\nof its own images", fontsize=8, color=SYNTHETIC, va="center"
    )
    axis.set(xlim=(0, 9), ylim=(-0.6, 3.6), aspect="auto")
    return figure


def progression(images: Sequence[np.ndarray], bits: int) -> Figure:
    """Figure 2: a column a level, the networks above and below an image (h, w) that one vector gives there."""
    n = len(images)
    figure, axes = plt.subplots(3, n, figsize=(1.35 * n + 0.6, 5.2), height_ratios=(n, 4, n), squeeze=False)
    for column, image in enumerate(images):
        top, middle, bottom = axes[:, column]
        for axis, color in ((top, SYNTHETIC), (bottom, REAL)):
            for stage in range(column + 1):
                h, w = images[stage].shape
                # From top to bottom: the generator ends with its newest layers, the discriminator begins with them.
                y = -stage if axis is top else stage - column
                width = 0.45 + 0.5 * (stage + 1) / n
                alpha = 0.55 if stage == column > 0 else 0.22
                axis.add_patch(Rectangle((0.5 - width / 2, y - 0.4), width, 0.8, facecolor=color, alpha=alpha))
                axis.text(0.5, y, f"{h} x {w}", ha="center", va="center", fontsize=7)
            axis.set(xlim=(0, 1), ylim=(-n + 0.4, 0.6))
            axis.axis("off")
        middle.imshow(image, vmin=0, vmax=2**bits - 1)
        middle.axis("off")
    figure.text(0.55, 0.01, "training: a level a column, the newest layers dark", ha="center", fontsize=9)
    figure.subplots_adjust(0.06, 0.05, 1, 1, wspace=0.05, hspace=0.04)
    for row, name in ((0, "generator"), (1, "its image"), (2, "discriminator")):
        place = axes[row, 0].get_subplotspec().get_position(figure)
        figure.text(0.02, (place.y0 + place.y1) / 2, name, rotation=90, va="center", fontsize=9)
    return figure


def resolutions(known: Sequence[tuple[str, tuple[int, int]]], here: tuple[int, int]) -> Figure:
    """Figure 5: the sizes of published architectures' images, to scale, and the one of this run beside them."""
    figure, axis = plt.subplots(figsize=(10, 3.9))
    left, gap = 0.0, 130.0
    for name, (h, w) in (*known, ("this run", here)):
        own = name == "this run"
        axis.add_patch(
            Rectangle(
                (left + max(300 - w, 0) / 2, 0),
                w,
                h,
                facecolor=REAL if own else SYNTHETIC,
                alpha=0.75 if own else 0.3,
                lw=0,
            )
        )
        axis.text(left + max(w, 300) / 2, -60, f"{name}\n{h} x {w}", ha="center", va="top", fontsize=8)
        left += max(w, 300) + gap
    axis.set(xlim=(-110, left), ylim=(-240, 1300), aspect="equal")
    axis.axis("off")
    return figure


def phases(stats: pd.DataFrame) -> Iterator[tuple[int, int, str, bool]]:
    """Runs of rows of one level, fading or not: first and last image, size, fading."""
    fading = stats["alpha"] < 1
    number = ((stats["level"] != stats["level"].shift()) | (fading != fading.shift())).cumsum()
    start = 0
    for _, rows in stats.groupby(number):
        stop = int(rows["images"].iloc[-1])
        yield start, stop, rows["size"].iloc[0], bool(rows["alpha"].iloc[0] < 1)
        start = stop


def shade(axis: Axes, stats: pd.DataFrame) -> None:
    """Gray where a level fades in, and the size above each level."""
    spans: dict[str, list[int]] = {}
    for start, stop, size, fading in phases(stats):
        if fading:
            axis.axvspan(start, stop, color="0.5", alpha=0.15, lw=0)
        spans.setdefault(size, []).extend((start, stop))
    for size, ends in spans.items():
        axis.text(
            (min(ends) + max(ends)) / 2,
            1.01,
            size.replace("x", " x "),
            transform=axis.get_xaxis_transform(),
            ha="center",
            fontsize=7,
        )
    axis.set_xlim(0, stats["images"].iloc[-1])
    axis.xaxis.set_major_locator(MaxNLocator(4))
    axis.xaxis.set_major_formatter("{x:,.0f}")
    axis.set_xlabel("images seen")


def training_curves(stats: pd.DataFrame) -> Figure:
    """Losses, scores and, where they are known, images a second by images seen; fades shaded."""
    timed = "images_per_second" in stats
    figure, axes = plt.subplots(1, 2 + timed, figsize=(12.5 if timed else 8.5, 3.4))
    rows = stats.set_index("images").rolling(max(len(stats) // 60, 1), min_periods=1)
    smooth = rows.mean(numeric_only=True)
    for axis, names, title in (
        (axes[0], {"loss_d": SYNTHETIC, "loss_g": REAL}, "loss"),
        (axes[1], {"real_score": REAL, "fake_score": SYNTHETIC}, "mean score of D"),
    ):
        for name, color in names.items():
            axis.plot(smooth.index, smooth[name], color=color, lw=1.2, label=name.replace("_", " "))
        axis.set_ylabel(title)
        axis.legend()
    if timed:
        axes[2].semilogy(smooth.index, rows["images_per_second"].median(), color="0.25", lw=1.2)
        axes[2].set_ylabel("images a second")
    for axis in axes:
        shade(axis, stats)
    figure.tight_layout()
    return figure


def distance_curves(table: pd.DataFrame, stats: pd.DataFrame) -> Figure:
    """Sliced Wasserstein distance by images seen, a line a band of the pyramid, dashed what real images have."""
    figure, axis = plt.subplots(figsize=(7.5, 3.6))
    colors = plt.get_cmap("viridis")(np.linspace(0, 0.85, table["band"].nunique()))
    for color, (band, rows) in zip(colors, table.groupby("band", sort=False), strict=True):
        axis.semilogy(rows["images"], rows["distance"], color=color, marker=".", label=f"band {band}")
        axis.axhline(rows["real"].iloc[0], color=color, ls="--", lw=0.9)
    shade(axis, stats)
    axis.set_ylabel("sliced Wasserstein distance x 1000")
    axis.legend()
    figure.tight_layout()
    return figure


def growth(stages: Sequence[tuple[str, np.ndarray]], bits: int, columns: int = 8) -> Figure:
    """The same latent vectors at each stage of training, a row a stage: (label, images (n, h, w))."""
    figure, axes = plt.subplots(len(stages), columns, figsize=(columns * 1.05, len(stages) * 1.3), squeeze=False)
    for (label, images), row in zip(stages, axes, strict=True):
        for image, axis in zip(images, row, strict=False):
            axis.imshow(image, cmap="gray", vmin=0, vmax=2**bits - 1)
            axis.set_xticks([])
            axis.set_yticks([])
            axis.spines[:].set_visible(False)
        row[0].set_ylabel(label, fontsize=7, rotation=0, ha="right", va="center")
    figure.subplots_adjust(0.14, 0, 1, 1, wspace=0.04, hspace=0.04)
    return figure
