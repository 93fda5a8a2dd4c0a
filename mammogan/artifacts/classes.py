"""The artifact classes that an observer labels: the failures that the paper names, and faults of any generator."""

from __future__ import annotations

from typing import NamedTuple


class ArtifactClass(NamedTuple):
    """One kind of artifact: name in tables, name on the page, and its appearance in a sentence."""

    key: str
    label: str
    look: str


# In the order of the digit keys 1 to 9. The first six are the paper's (Discussion: "Vascular Artifacts", "Common
# Failures and Artifacts", "Calcifications and Metal Markers"); the last three are project choices.
CLASSES = (
    ArtifactClass("network_failure", "network failure", "No breast at all, or one that dissolves into blobs or noise."),
    ArtifactClass("outline", "implausible outline", "The skin line or the pectoral muscle has a shape no breast has."),
    ArtifactClass("implant", "implant-like", "A smooth, bright body with a sharp rim, as of an implant."),
    ArtifactClass("vessel", "vessel without origin", "A vessel that starts from nowhere, or widens toward the skin."),
    ArtifactClass("calcification", "unconvincing calcification", "A bright speck too soft or too odd to be one."),
    ArtifactClass("marker", "marker-like", "A bright, round spot like a skin marker or a clip."),
    ArtifactClass("grid", "checkerboard or grid", "A regular pattern of pixels, lines or tiles."),
    ArtifactClass("duplicate", "duplicated structure", "The same structure twice in one image."),
    ArtifactClass("border", "text or border", "Letters, a frame, or a bright edge of the picture."),
)
KEYS = tuple(one.key for one in CLASSES)
