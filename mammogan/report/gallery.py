"""Pictures that a page shows small and enlarges at a click, with their gray levels as they are."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape

import numpy as np

from mammogan.artifacts.inspection import picture

# The popover is the browser's own (HTML, 6.12): Enter opens and Escape closes it, and no script is needed. Each picture
# is in the page once, as a background, which no dark mode filters; in print the small ones remain.
STYLE = """<style>
.gallery { display: flex; flex-wrap: wrap; gap: .5rem; margin: .3rem 0 1rem; }
.gallery button { border: 0; padding: 0; background: none; color: inherit; font: inherit; cursor: zoom-in; }
.gallery .gray { display: block; background: #000 var(--i) center / 100% 100%; image-rendering: pixelated;
  print-color-adjust: exact; -webkit-print-color-adjust: exact; }
.gallery button .gray { width: 6rem; aspect-ratio: var(--a); }
.gallery small { display: block; width: 6rem; line-height: 1.2; text-align: center; }
.gallery [popover] { border: 0; padding: 0; margin: auto; background: #000; }
.gallery [popover] .gray { height: 90vh; max-width: 94vw; aspect-ratio: var(--a); }
.gallery [popover]::backdrop { background: #000d; }
</style>"""


def data_uri(pixels: np.ndarray, bits: int) -> str:
    """Gray levels as an 8-bit PNG, linear from black to white."""
    stream = io.BytesIO()
    picture(pixels, bits).save(stream, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()


def gallery(name: str, images: Sequence[np.ndarray], bits: int, captions: Sequence[str]) -> str:
    """A row of pictures (h, w) that open enlarged, as HTML.

    Args:
        name: of the row, one of its kind on a page: letters and digits.
        images: unsigned integers of `bits` bits.
        bits: of the gray grid.
        captions: one each; read aloud too.
    """
    parts = [STYLE, '<div class="gallery">']
    for k, (image, caption) in enumerate(zip(images, captions, strict=True)):
        text, key = escape(caption), f"gallery-{escape(name)}-{k}"
        style = f"--i:url({data_uri(image, bits)});--a:{image.shape[1]}/{image.shape[0]}"
        gray = f'<span class="gray" role="img" aria-label="{text}"></span>'
        parts.append(
            f'<div style="{style}"><button type="button" popovertarget="{key}" aria-label="Enlarge: {text}">'
            f'<span class="gray"></span></button><small>{text}</small><div popover id="{key}">{gray}</div></div>'
        )
    return "\n".join([*parts, "</div>"])
