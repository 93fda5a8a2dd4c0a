"""Studies whose pictures have both views of a breast: what is built, refused, shown in a browser and exported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from breasts import pairs_store
from PIL import Image
from study import needs_viewer, ovals, served
from tablet import PAIRS, Tablet, axe, needs_chromium

from mammogan.data.store import Store, StoreWriter
from mammogan.errors import InputError, ParameterError, StudyError
from mammogan.reader_study.build import StudySettings, build
from mammogan.reader_study.design import PICTURES, PUBLIC, ReaderStudy
from mammogan.reader_study.export import responses
from mammogan.reader_study.protocol import StudyProtocol
from mammogan.stats.responses import read_responses

pytestmark = needs_viewer
BOTH = StudyProtocol(views="pair")


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Store]:
    """Both views of 8 real breasts and of 8 synthetic ones, 80 x 64."""
    folder = tmp_path_factory.mktemp("sets")
    return pairs_store(folder / "real", 8), pairs_store(folder / "synthetic", 8, seed=1)


@pytest.fixture(scope="module")
def study(sets: tuple[Store, Store], tmp_path_factory: pytest.TempPathFactory) -> ReaderStudy:
    settings = StudySettings(secret=1, pairs=PAIRS, note="Second sentence.", protocol=BOTH)
    return build(sets[0].path, sets[1].path, tmp_path_factory.mktemp("both") / "study", settings)


def picture(study: ReaderStudy, name: str) -> np.ndarray:
    return np.asarray(Image.open(study.folder / PUBLIC / PICTURES / f"{name}.png"), float)


def test_a_picture_has_the_cc_at_the_left_and_the_mlo_of_the_same_breast_at_the_right(
    sets: tuple[Store, Store], study: ReaderStudy
) -> None:
    assert len(study.real) == len(study.synthetic) == 8
    for store, pool in zip(sets, (study.real, study.synthetic), strict=True):
        rows = dict(zip(store.manifest["id"], range(len(store)), strict=True))
        for name, ids in pool:
            cc, mlo = ids.split("+")
            assert cc.endswith("CC") and mlo == cc.replace("CC", "MLO")
            shown = picture(study, name)
            assert shown.shape == (80, 128)
            for half, image in zip(np.hsplit(shown, 2), (cc, mlo), strict=True):
                source = store.images()[rows[image]] * (255 / 4095)
                inside = half > 30
                assert inside.mean() > 0.1 and np.median(abs(half - source)[inside]) < 2
    record = json.loads((study.folder / "study.json").read_text())
    assert record["size"] == [80, 128] and "Pictures have 80 x 128 pixels" in " ".join(study.summary)
    assert "16 of 16 real images, both views of 8 breasts, are in the pool; 0 are excluded." in study.summary
    assert ReaderStudy.open(study.folder).protocol.views == "pair"
    assert study.note.endswith("MLO at the right. Second sentence.")


def test_an_excluded_image_excludes_its_breast(sets: tuple[Store, Store], tmp_path: Path) -> None:
    (tmp_path / "hand.txt").write_text("3-MLO,blurred\n")
    with StoreWriter(tmp_path / "real", 80, 64, 12, {"by": "test"}) as writer:
        for number, image in enumerate(sets[0].images()[:15]):  # without the last MLO
            facts = sets[0].manifest.iloc[number][["id", "patient", "laterality", "view"]].to_dict()
            writer.accept(image / 4095, **facts)
    settings = StudySettings(secret=1, exclude=[tmp_path / "hand.txt"], protocol=BOTH)
    study = build(tmp_path / "real", sets[0].path, tmp_path / "study", settings)
    assert sorted(ids for _, ids in study.real) == [f"{n}-CC+{n}-MLO" for n in (0, 1, 2, 4, 5, 6)]
    assert len(study.synthetic) == 7
    record = json.loads((tmp_path / "study" / "study.json").read_text())["excluded"]
    assert record[:3] == [
        {"set": "real", "id": "3-CC", "reason": "by hand: blurred"},
        {"set": "real", "id": "3-MLO", "reason": "by hand: blurred"},
        {"set": "real", "id": "7-CC", "reason": "no other view of the breast"},
    ]


def test_attention_checks_have_squares_in_both_views(sets: tuple[Store, Store], tmp_path: Path) -> None:
    protocol = StudyProtocol(views="pair", checks=1)
    study = build(sets[0].path, sets[1].path, tmp_path / "study", StudySettings(secret=1, protocol=protocol))
    for name, _ in study.checks:
        for half in np.hsplit(picture(study, name), 2):
            blocks = half.reshape(20, 4, 16, 4).swapaxes(1, 2).reshape(-1, 16)
            whole = blocks.min(1) > 30
            assert whole.sum() > 10 and np.median(blocks[whole].std(1)) < 2


def test_sets_and_protocols_without_pairs_are_refused(sets: tuple[Store, Store], tmp_path: Path) -> None:
    with StoreWriter(tmp_path / "cc", 80, 64, 12, {"by": "test"}) as writer:
        for number, image in enumerate(ovals(4)):
            writer.accept(image, id=str(number), patient=str(number), laterality="L", view="CC")
    with pytest.raises(InputError, match="has no pair of views, since all views are CC"):
        build(sets[0].path, tmp_path / "cc", tmp_path / "study", StudySettings(protocol=BOTH))
    assert not (tmp_path / "study").exists()
    with pytest.raises(StudyError, match="No real image is left"):
        (tmp_path / "all.txt").write_text("".join(f"{number}-CC\n" for number in range(8)))
        settings = StudySettings(exclude=[tmp_path / "all.txt"], protocol=BOTH)
        build(sets[0].path, sets[1].path, tmp_path / "study", settings)
    with pytest.raises(ParameterError, match="the views 'both'; give single or pair"):
        StudyProtocol.of({"views": "both"}, tmp_path)
    with pytest.raises(ParameterError, match="leave view out of the strata"):
        StudyProtocol(views="pair", strata=("view",))
    with pytest.raises(ParameterError, match="omit --view MLO"):
        StudySettings(view="MLO", protocol=BOTH)


@pytest.mark.slow
@needs_chromium
def test_readers_judge_both_views_of_breasts(browser: Any, study: ReaderStudy, tmp_path: Path) -> None:
    with served(study.folder) as (address, _):
        tablet = Tablet(browser, f"{address}/")
        page = tablet.page
        assert page.locator("#note").inner_text().startswith("Each picture shows both views of one breast")
        tablet.fill()
        sizes = tablet.js(
            "['left', 'right'].map((s) => {const p = viewers[s].osd.world.getItemAt(0).getContentSize();"
            " return [p.x, p.y]})"
        )
        assert sizes == [[128, 80], [128, 80]]
        # The whole picture is seen, and linked viewers zoom together.
        for side in ("left", "right"):
            bounds = tablet.js(
                f"(() => {{const b = viewers.{side}.osd.viewport.getBounds(); return [b.x, b.width]}})()"
            )
            assert bounds[0] <= 1e-6 and bounds[0] + bounds[1] >= 1 - 1e-6
        page.click(".link")
        box = page.locator("#left").bounding_box()
        page.mouse.move(box["x"] + box["width"] / 4, box["y"] + box["height"] / 2)
        page.mouse.wheel(0, -300)
        tablet.until("viewers.right.osd.viewport.getZoom() > 1.1 * viewers.right.osd.viewport.getHomeZoom()")
        assert axe(tablet) == []
        for number in range(1, PAIRS + 1):
            tablet.answer(number, "left")
        tablet.settled()
        assert tablet.troubles == []
        tablet.context.close()
    table = responses(study)
    assert len(table) == PAIRS and all(table["real_id"].str.fullmatch(r"\d-CC\+\d-MLO"))
    table.to_csv(tmp_path / "answers.csv", index=False)
    study.check(read_responses(tmp_path / "answers.csv"))
