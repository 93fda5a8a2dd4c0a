"""Figures of the training chapter: the paper's Figures 1, 2 and 5 redrawn, the log of a run, and its growth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from mammogan.report.style import REAL, SYNTHETIC
from mammogan.types import Size

TEXTS = (
    (0.65, 0.9, "random vector\n$z \\sim N(0, I)$"),
    (4.55, 1.55, "synthetic image $G(z)$"),
    (4.55, 3.35, "real image $x$"),
    (8.35, 1.75, "score\n$D(x)$ high,\n$D(G(z))$ low"),
)
ARROWS = (
    ((1.25, 0.9), (1.78, 0.9)),
    ((3.42, 0.9), (3.98, 0.9)),
    ((5.12, 0.9), (6.3, 1.28)),
    ((5.12, 2.6), (6.3, 2.22)),
    ((7.68, 1.75), (7.85, 1.75)),
)


def adversaries(real: np.ndarray | None, synthetic: np.ndarray, bits: int) -> Figure:
    """Draw Figure 1: a scheme of the two networks, with one real and one synthetic image (h, w); None hides it."""
    figure, axis = plt.subplots(figsize=(9, 4.2))
    axis.axis("off")

    def write(x: float, y: float, text: str, size: int = 9) -> None:
        axis.text(x, y, text, ha="center", va="center", fontsize=size)

    for x, y, text in TEXTS:
        write(x, y, text)
    for x, y, text, color in ((2.6, 0.9, "generator\n$G$", SYNTHETIC), (6.85, 1.75, "discriminator\n$D$", REAL)):
        axis.add_patch(Rectangle((x - 0.75, y - 0.4), 1.5, 0.8, facecolor=color, alpha=0.25))
        write(x, y, text, 10)
    for start, stop in ARROWS:
        axis.annotate("", stop, start, arrowprops={"arrowstyle": "-|>", "color": "0.3", "lw": 1.2})
    look = {"arrowstyle": "-|>", "color": SYNTHETIC, "ls": "--", "connectionstyle": "arc3,rad=-0.42"}
    axis.annotate("", (2.6, 0.44), (6.85, 1.3), arrowprops=look)
    axis.text(
        6.6, 0.1, "$G$ is trained to raise the score\nof its own images", fontsize=8, color=SYNTHETIC, va="center"
    )
    half = 0.625 * synthetic.shape[1] / synthetic.shape[0]
    for image, bottom in ((synthetic, 0.2), (real, 2.0)):
        if image is None:
            axis.add_patch(Rectangle((4.55 - half, bottom), 2 * half, 1.25, facecolor="0.9", edgecolor="0.6"))
            write(4.55, bottom + 0.625, "not shown\nhere", 8)
        else:
            extent = (4.55 - half, 4.55 + half, bottom, bottom + 1.25)
            axis.imshow(image, extent=extent, vmin=0, vmax=2**bits - 1, zorder=2)
    axis.set(xlim=(0, 9), ylim=(-0.6, 3.6), aspect="auto")
    return figure


def progression(images: Sequence[np.ndarray], bits: int) -> Figure:
    """Draw Figure 2: one column per level, its networks above and below the image (h, w) of one latent vector."""
    n = len(images)
    figure, axes = plt.subplots(3, n, figsize=(1.35 * n + 0.6, 5.2), height_ratios=(n, 4, n), squeeze=False)
    for column, image in enumerate(images):
        top, middle, bottom = axes[:, column]
        for axis, color in ((top, SYNTHETIC), (bottom, REAL)):
            for stage in range(column + 1):
                # From top to bottom: the generator ends with its newest layers, the discriminator begins with them.
                y = -stage if axis is top else stage - column
                width = 0.45 + 0.5 * (stage + 1) / n
                alpha = 0.55 if stage == column > 0 else 0.22
                axis.add_patch(Rectangle((0.5 - width / 2, y - 0.4), width, 0.8, facecolor=color, alpha=alpha))
                axis.text(0.5, y, str(Size(*images[stage].shape)), ha="center", va="center", fontsize=7)
            axis.set(xlim=(0, 1), ylim=(-n + 0.4, 0.6))
            axis.axis("off")
        middle.imshow(image, vmin=0, vmax=2**bits - 1)
        middle.axis("off")
    figure.text(0.55, 0.01, "training: one level per column, the newest layers dark", ha="center", fontsize=9)
    figure.subplots_adjust(0.06, 0.05, 1, 1, wspace=0.05, hspace=0.04)
    for axis, name in zip(axes[:, 0], ("generator", "its image", "discriminator"), strict=True):
        box = axis.get_subplotspec().get_position(figure)
        figure.text(0.02, (box.y0 + box.y1) / 2, name, rotation=90, va="center", fontsize=9)
    return figure


def resolutions(published: Sequence[tuple[str, tuple[int, int]]], here: tuple[int, int]) -> Figure:
    """Draw Figure 5: the image sizes of published architectures, to scale, and that of this run."""
    figure, axis = plt.subplots(figsize=(10, 3.9))
    left = 0.0
    for name, (h, w) in (*published, ("this run", here)):
        color, alpha = (REAL, 0.75) if name == "this run" else (SYNTHETIC, 0.3)
        axis.add_patch(Rectangle((left + max(300 - w, 0) / 2, 0), w, h, facecolor=color, alpha=alpha, lw=0))
        axis.text(left + max(w, 300) / 2, -60, f"{name}\n{h} x {w}", ha="center", va="top", fontsize=8)
        left += max(w, 300) + 130
    axis.set(xlim=(-110, left), ylim=(-240, 1300), aspect="equal")
    axis.axis("off")
    return figure


def phases(stats: pd.DataFrame) -> Iterator[tuple[int, int, str, bool]]:
    """Yield (first image, last image, size, fading) of each run of rows of one level that fades or does not."""
    fading = stats["alpha"] < 1
    number = ((stats["level"] != stats["level"].shift()) | (fading != fading.shift())).cumsum()
    start = 0
    for _, rows in stats.groupby(number):
        stop = int(rows["images"].iloc[-1])
        yield start, stop, rows["size"].iloc[0], bool(rows["alpha"].iloc[0] < 1)
        start = stop


def shade(axis: Axes, stats: pd.DataFrame) -> None:
    """Draw gray bands where a level fades in, and the size above each level."""
    spans: dict[str, list[int]] = {}
    for start, stop, size, fading in phases(stats):
        if fading:
            axis.axvspan(start, stop, color="0.5", alpha=0.15, lw=0)
        spans.setdefault(size.replace("x", " x "), []).extend((start, stop))
    above = axis.get_xaxis_transform()
    for size, ends in spans.items():
        axis.text((min(ends) + max(ends)) / 2, 1.01, size, transform=above, ha="center", fontsize=7)
    axis.set_xlim(0, stats["images"].iloc[-1])
    axis.xaxis.set_major_locator(MaxNLocator(4))
    axis.xaxis.set_major_formatter("{x:,.0f}")
    axis.set_xlabel("images seen")


def training_curves(stats: pd.DataFrame) -> Figure:
    """Draw losses, scores and, where they were kept, images per second by images seen; fades shaded."""
    timed = "images_per_second" in stats
    figure, axes = plt.subplots(1, 2 + timed, figsize=(12.5 if timed else 8.5, 3.4))
    rows = stats.set_index("images").rolling(max(len(stats) // 60, 1), min_periods=1)
    smooth = rows.mean(numeric_only=True)
    losses, scores = {"loss_d": SYNTHETIC, "loss_g": REAL}, {"real_score": REAL, "fake_score": SYNTHETIC}
    for axis, names, title in ((axes[0], losses, "loss"), (axes[1], scores, "mean score of D")):
        for name, color in names.items():
            axis.plot(smooth.index, smooth[name], color=color, lw=1.2, label=name.replace("_", " "))
        axis.set_ylabel(title)
        axis.legend()
    if timed:
        axes[2].semilogy(smooth.index, rows["images_per_second"].median(), color="0.25", lw=1.2)
        axes[2].set_ylabel("images per second")
    for axis in axes:
        shade(axis, stats)
    figure.tight_layout()
    return figure


def distance_curves(table: pd.DataFrame, stats: pd.DataFrame) -> Figure:
    """Draw the sliced Wasserstein distance of each band by images seen, and dashed that between real images."""
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
    """Draw the images of the same latent vectors at each stage of training, one row per (label, images (n, h, w))."""
    figure, axes = plt.subplots(len(stages), columns, figsize=(columns * 1.05, len(stages) * 1.3), squeeze=False)
    for (label, images), row in zip(stages, axes, strict=True):
        for image, axis in zip(images, row, strict=False):
            axis.imshow(image, cmap="gray", vmin=0, vmax=2**bits - 1)
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
        row[0].set_ylabel(label, fontsize=7, rotation=0, ha="right", va="center")
    figure.subplots_adjust(0.14, 0, 1, 1, wspace=0.04, hspace=0.04)
    return figure
