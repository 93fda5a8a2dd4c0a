"""Columns of a store's manifest, which has one row per source file."""

from typing import TypedDict, get_args, get_type_hints

import pyarrow as pa


class Facts(TypedDict, total=False):
    """One row of the manifest, or a part of it; a fact that is missing or None becomes null."""

    number: int  # position among the sources, 0-based
    id: str  # first 16 hexadecimal digits of the source's SHA-256, or the name of a generated image
    index: int | None  # row in the arrays; null where refused
    reason: str | None  # null where accepted
    sentence: str | None
    flags: list[str]  # accepted, but worth a look
    source_sha256: str
    place: str  # salted hash of the source's path
    patient: str  # salted hash
    instance: str  # salted hash
    pixels: str  # first 16 hexadecimal digits of the SHA-256 of the finest level
    split: str
    view: str | None
    laterality: str | None  # of the breast, also where the image was mirrored
    mirrored: bool  # the chest wall was brought to the left edge
    age: float | None  # years
    density: str | None  # BI-RADS A to D
    finding: str | None  # from a table, as "lesion" or "benign"
    window_center: float
    window_width: float
    window_function: str
    window_explanation: str | None
    spacing_mm: float | None  # of one pixel of the largest size in the store, at the detector
    manufacturer: str
    model: str
    source_rows: int
    source_columns: int
    photometric: str
    transfer_syntax: str


class Label(Facts, total=False):
    """Facts about a file from a table; those of the header have precedence where it states them."""

    modality: str


_ARROW = {int: pa.int64(), float: pa.float64(), bool: pa.bool_(), str: pa.string(), list[str]: pa.list_(pa.string())}
# Columns of text; those with few values can condition a generator, or be the label of a classifier.
TRAITS = tuple(name for name, kind in get_type_hints(Facts).items() if kind in (str, str | None))
SCHEMA = pa.schema(
    [(name, _ARROW.get(kind) or _ARROW[get_args(kind)[0]]) for name, kind in get_type_hints(Facts).items()]
)
