"""Two sets of images of one grey grid, window and geometry, so that they can be compared; or what to do about it."""

from __future__ import annotations

import numpy as np

from mammogan.data.store import Store

# Settings of the ingest that change how an image looks, and the option that makes them alike.
LOOKS = {"window": "--window", "laterality": "--laterality"}


class SetsError(Exception):
    """Two sets of images cannot be compared; the message says what to do."""


def compare_stores(real: Store, synthetic: Store, size: tuple[int, int] | None = None) -> tuple[int, int]:
    """Size at which two stores are compared: the one asked for, or the finest that both have.

    Raises:
        SetsError: different bit depth, window or laterality, or no such size in both.
    """
    if real.bits != synthetic.bits:
        raise SetsError(
            f"The real images have {real.bits} bits and the synthetic ones {synthetic.bits}, and moments of different "
            "depths cannot be compared; make both stores with the same --bits."
        )
    for name, option in LOOKS.items():
        looks = [store.attributes["made_by"].get(name) for store in (real, synthetic)]
        # Generated images have no settings of their own: they look like the images that the generator was trained on.
        if None not in looks and looks[0] != looks[1]:
            raise SetsError(
                f"The real images were made with the {name} {looks[0]!r} and the synthetic ones with {looks[1]!r}; "
                f"ingest both with the same {option}."
            )
    common = [pair for pair in real.sizes if pair in synthetic.sizes]
    if size in common:
        return size
    if size or not common:
        have = "; ".join(
            f"the {name} images have {', '.join(f'{h} x {w}' for h, w in store.sizes)}"
            for name, store in (("real", real), ("synthetic", synthetic))
        )
        wanted = f"the size {size[0]} x {size[1]}" if size else "a common size"
        raise SetsError(f"The two sets do not both have {wanted} ({have}); ingest one with the other's size.")
    return common[-1]


def patients(store: Store) -> np.ndarray:
    """(n,) what tells the patients of a store's images apart; an image without a patient stands for itself."""
    known = store.manifest["patient"]
    return np.asarray(known.where(known.notna(), [f"image {number}" for number in range(len(store))]), str)
