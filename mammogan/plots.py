"""Figures of the book: one look, colours that colour-blind readers can tell apart, radiographs in linear grey."""

from __future__ import annotations

import matplotlib.pyplot as plt

# Okabe & Ito (2008), vermilion and blue: apart for every common colour vision, and in print without colour.
REAL, SYNTHETIC = "#D55E00", "#0072B2"


def style() -> None:
    """Set the book's look; call it once at the top of a notebook.

    Figures keep a white ground, so that one picture reads on a light and on a dark page.
    """
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
