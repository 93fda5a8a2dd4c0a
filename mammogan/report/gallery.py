"""Pictures that a page shows small and enlarges at a click, with their gray levels unchanged."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape

import numpy as np

from mammogan.artifacts.inspection import picture

# The popover is the browser's own (HTML, 6.12): Enter opens it, Escape closes it, and no script is needed. Each picture
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


def gallery(name: str, images: Sequence[np.ndarray], bits: int, captions: Sequence[str]) -> str:
    """Return a row of pictures that open enlarged, as HTML.

    Args:
        name: name of the row, unique on its page: letters and digits.
        images: (h, w) each, unsigned integers; shown linear from black to white in 8 bits.
        bits: bits per pixel.
        captions: caption of each; read aloud too.
    """
    parts = [STYLE, '<div class="gallery">']
    for k, (image, caption) in enumerate(zip(images, captions, strict=True)):
        stream = io.BytesIO()
        picture(image, bits).save(stream, "PNG", optimize=True)
        text, key = escape(caption), f"gallery-{escape(name)}-{k}"
        source = f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"
        parts.append(
            f'<div style="--i:url({source});--a:{image.shape[1]}/{image.shape[0]}"><button type="button" '
            f'popovertarget="{key}" aria-label="Enlarge: {text}"><span class="gray"></span></button>'
            f'<small>{text}</small><div popover id="{key}">'
            f'<span class="gray" role="img" aria-label="{text}"></span></div></div>'
        )
    return "\n".join([*parts, "</div>"])
