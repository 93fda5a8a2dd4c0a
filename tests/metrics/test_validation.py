"""Every check refuses what it says, with what was given, and passes the rest."""

from __future__ import annotations

import numpy as np
import pytest

from mammogan.errors import ParameterError
from mammogan.metrics.validation import (
    check_array,
    check_at_least,
    check_images,
    check_lengths,
    check_same_size,
    check_tables,
)

TABLE = np.arange(10.0).reshape(5, 2)
STACK = np.zeros((3, 5, 4), np.uint16)


@pytest.mark.parametrize(
    ("check", "sentence"),
    [
        (lambda: check_at_least("n_neighbors", 0, 1), "n_neighbors is 0; give 1 or more"),
        (lambda: check_at_least("draws", np.nan, 1), "draws is nan"),
        (lambda: check_lengths(images=TABLE, labels=[1]), "5 images and 1 labels; give one per image"),
        (lambda: check_array(TABLE, "x"), r"x has the shape \(5, 2\); an array of 1 axes"),
        (lambda: check_array(TABLE[:, 0], "x", (2, 3)), "2 or 3 axes"),
        (lambda: check_array(TABLE[0], "x", least=3), "x has 2 images; give 3 or more"),
        (lambda: check_array(np.array([1, np.inf]), "x"), "x has the value inf in image 1"),
        (lambda: check_array(np.array([np.nan]), "x", infinite=True), "x has the value nan in image 0"),
        (lambda: check_tables(TABLE, TABLE[:3]), "The synthetic set has 3 images; give 4 or more"),
        (lambda: check_tables(TABLE, TABLE[:, :1], names=("a", "b")), "The a set has 2 columns and the b set 1"),
        (lambda: check_images(STACK[0]), r"shape \(5, 4\) and type uint16 does not hold unsigned integer images"),
        (lambda: check_images(STACK.astype(float)), "type float64 does not hold unsigned"),
        (lambda: check_images(STACK, least=4), "The number of images is 3; give 4 or more"),
        (lambda: check_images(STACK, side=5), "5 x 4 pixels; a measure of them needs 5 x 5"),
        (lambda: check_same_size(STACK, STACK[:, :4]), "5 x 4 and 4 x 4 pixels; give two sets of one size"),
    ],
)
def test_a_check_says_what_was_given(check, sentence: str) -> None:
    with pytest.raises(ParameterError, match=sentence):
        check()


def test_what_is_right_passes() -> None:
    check_at_least("n", 1, 1)
    check_lengths(images=TABLE, labels=range(5))
    assert check_array([1, np.inf], "x", infinite=True).dtype == np.float64
    a, b = check_tables(TABLE.astype(np.float32), TABLE[:4])
    assert a.dtype == b.dtype == np.float64
    check_images(STACK.astype(float), integers=False, side=4)
    check_same_size(STACK, STACK[:1])
