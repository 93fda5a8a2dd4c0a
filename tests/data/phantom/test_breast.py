"""Both views are projections of one breast."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mammogan.data.phantom.anatomy import draw_outline
from mammogan.data.phantom.breast import VOXELS, Breast, draw_breast, row_share
from mammogan.data.phantom.patient import patient

U, X, V = ((np.arange(n) + 0.5) / n for n in VOXELS)
U, V = 2 * U - 1, 2 * V - 1


def breast(number: int, side: str = "L") -> Breast:
    woman, own = np.random.default_rng([number, 1]), np.random.default_rng([number, 2, "LR".index(side)])
    return draw_breast(patient(0, number), woman, own)


@pytest.mark.parametrize("at", [(20, 10, 40), (40, 18, 20), (31, 5, 45)])
def test_a_point_is_where_its_coordinates_say(at: tuple[int, int, int]) -> None:
    tissue = np.zeros(VOXELS, np.float32)
    tissue[at[0] - 1 : at[0] + 2, at[1], at[2] - 1 : at[2] + 2] = 1
    one = replace(breast(0), tissue=tissue)
    u, v = U[at[0]], V[at[2]]
    for view in ("CC", "MLO"):
        shown = one.projected(view)
        row, depth = np.unravel_index(shown.argmax(), shown.shape)
        assert depth == at[1]
        assert V[row] == pytest.approx(row_share(view, u, v), abs=1.5 * 2 / VOXELS[0])


def test_a_uniform_breast_is_uniform_in_both_views() -> None:
    radius = np.sqrt(U[:, None, None] ** 2 + X[:, None] ** 2 + V**2)
    whole = replace(breast(0), tissue=(radius < 1).astype(np.float32))
    for view in ("CC", "MLO"):
        shown = whole.projected(view)
        middle = shown[12:52, :25]
        np.testing.assert_allclose(middle, 1, atol=0.02)


def test_tissue_is_as_far_from_the_chest_wall_in_both_views() -> None:
    for number in range(4):
        shown = breast(number)
        profiles = [shown.projected(view).sum(0) for view in ("CC", "MLO")]
        assert np.corrcoef(profiles)[0, 1] > 0.9


def test_left_and_right_breast_of_a_woman_are_alike() -> None:
    women = [[breast(number, side).tissue[8:56, :30, 8:56].ravel() for side in "LR"] for number in range(5)]
    own = [np.corrcoef(*pair)[0, 1] for pair in women]
    other = [np.corrcoef(women[k][0], women[k - 1][1])[0, 1] for k in range(5)]
    assert min(own) > 0.5
    assert max(own) < 0.99
    assert np.mean(own) > np.mean(other) + 0.15


def test_the_share_of_the_gland_is_the_patients() -> None:
    for number in range(3):
        who, one = patient(0, number), breast(number)
        radius = np.sqrt(U[:, None, None] ** 2 + X[:, None] ** 2 + V**2)
        assert np.mean(one.tissue[radius < 1] > 0.5) == pytest.approx(who.glandular, abs=0.01)


@pytest.mark.parametrize("view", ["CC", "MLO"])
def test_the_nipple_is_at_the_skin(view: str) -> None:
    one = breast(3)
    outline = draw_outline(np.random.default_rng(0), one, view)
    y, x = outline.locate(one.nipple_point)
    assert (y, x) == pytest.approx(outline.nipple)
