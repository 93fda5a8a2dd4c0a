"""The command `align`: stores, pictures and DICOM give the same numbers; what differs is refused with what to do."""

from __future__ import annotations

import json
import os
import platform
import resource
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from mammogan.__main__ import app
from mammogan.data.pairs import Source, compare_stores, open_pair, patients
from mammogan.data.store import Store, StoreWriter
from mammogan.errors import InputError
from mammogan.metrics.moments import image_moments
from mammogan.parallel import map_images
from mammogan.report.comparison import notes

QUICK = ["--draws", "3", "--splits", "2", "--permutations", "5"]


def make(path: Path, count: int, seed: int, bits: int = 12, size: tuple[int, int] = (40, 32), **made_by: str) -> Store:
    rng = np.random.default_rng(seed)
    with StoreWriter(path, *size, bits, {"by": "test", **made_by}) as writer:
        for number in range(count):
            image = rng.beta(1 + rng.random(), 3, size)
            image[:, : rng.integers(4, size[1] // 2)] = 0
            split = "train" if number < 0.8 * count else "test"
            writer.accept(image, id=f"{seed}-{number}", patient=f"patient {number // 2}", split=split)
    return Store.open(path)


def write_pngs(store: Store, folder: Path, bits: int = 16) -> None:
    folder.mkdir()
    for number, image in enumerate(store.images()):
        gray = image.astype(np.uint32) * (2**bits - 1) // (2**store.bits - 1)
        Image.fromarray(gray.astype(np.uint16 if bits == 16 else np.uint8)).save(folder / f"{number:04d}.png")


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Store]:
    folder = tmp_path_factory.mktemp("pair")
    return make(folder / "real", 40, 1), make(folder / "synthetic", 20, 2)


@pytest.fixture(scope="module")
def report(pair: tuple[Store, Store], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("report") / "out"
    done = CliRunner().invoke(app, ["align", *(str(store.path) for store in pair), "--out", str(out), *QUICK])
    assert done.exit_code == 0, done.output
    assert f"The report is {out / 'report.html'}" in done.output
    return out


class _Links(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.without_alt = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = dict(attributes)
        self.links += [found[name] or "" for name in ("href", "src") if name in found]
        self.without_alt += tag == "img" and not found.get("alt")


def test_every_link_of_the_report_leads_somewhere(report: Path) -> None:
    page = _Links((report / "report.html").read_text())
    figures = {f"figures/{name}.png" for name in ("moments", "table1", "support", "texture", "frechet", "worst")}
    assert figures | {"results.json"} <= set(page.links)
    assert [link for link in page.links if not (report / link).is_file()] == []
    assert page.without_alt == 0


def test_every_score_has_an_interval_a_ceiling_and_their_ratio(report: Path) -> None:
    results = json.loads((report / "results.json").read_text())
    for key in ("scores.jsd.M1.M2", "scores.label.M3.M3", "support.mass.M4.M5", "information.M2.neighbors"):
        for end in ("", ".ceiling", ".ratio"):
            entry = results[f"alignment.{key}{end}"]
            assert entry["interval"][0] <= entry["value"] <= entry["interval"][1]
    for key in ("swd.40x32.real", "features.kid", "memorization.authenticity", "msssim.synthetic"):
        entry = results[f"alignment.{key}"]
        assert entry["interval"][0] <= entry["value"] <= entry["interval"][1]
    scores = pd.read_csv(report / "data" / "table1.csv")
    assert scores.groupby("reading").size().to_dict() == {"jsd": 15, "label": 15, "nmi": 15, "overlap": 15}
    row = scores.query("reading == 'jsd' and i == 'M1' and j == 'M2'").iloc[0]
    assert results["alignment.scores.jsd.M1.M2.ceiling"]["value"] == pytest.approx(row["ceiling"])
    assert (row["n"], row["n_ceiling"]) == (20, 19)


def test_the_command_repeats_and_overwrites_only_when_told(pair: tuple[Store, Store], report: Path) -> None:
    command = ["align", *(str(store.path) for store in pair), "--out", str(report), *QUICK]
    before = (report / "results.json").read_text()
    refused = CliRunner().invoke(app, command)
    assert refused.exit_code == 1
    assert "--force" in str(refused.exception)
    assert CliRunner().invoke(app, [*command, "--force"]).exit_code == 0
    assert (report / "results.json").read_text() == before
    assert CliRunner().invoke(app, ["align", str(pair[0].path)]).exit_code == 2


def test_moments_alone_a_network_and_held_out_patients(pair: tuple[Store, Store], report: Path, tmp_path: Path) -> None:
    full = json.loads((report / "results.json").read_text())
    command = ["align", *(str(store.path) for store in pair), *QUICK]
    assert CliRunner().invoke(app, [*command, "--out", str(tmp_path / "moments"), "--moments-only"]).exit_code == 0
    some = json.loads((tmp_path / "moments" / "results.json").read_text())
    assert some == {key: full[key] for key in some} and len(some) < len(full)
    assert "shows real images" not in (tmp_path / "moments" / "report.html").read_text()
    network = tmp_path / "mean.pt"
    torch.jit.save(torch.jit.script(torch.nn.Sequential(torch.nn.AvgPool2d(8), torch.nn.Flatten())), str(network))
    options = ["--feature", str(network), "--trained-on", "train"]
    done = CliRunner().invoke(app, [*command, "--out", str(tmp_path / "more"), *options])
    assert done.exit_code == 0, done.output
    more = json.loads((tmp_path / "more" / "results.json").read_text())
    assert more["alignment.features.kid"]["how"].startswith("mean.pt")
    assert more["alignment.features.kid"]["value"] != full["alignment.features.kid"]["value"]
    assert "of other patients" in more["alignment.memorization.baseline"]["how"]
    wrong = CliRunner().invoke(app, [*command, "--out", str(tmp_path / "wrong"), "--trained-on", "nowhere"])
    assert "No real image is of the split 'nowhere'" in str(wrong.exception)


def test_pictures_give_the_moments_of_the_store_that_they_came_from(pair: tuple[Store, Store], tmp_path: Path) -> None:
    write_pngs(pair[1], tmp_path / "pngs")
    _, made = open_pair(pair[0].path, tmp_path / "pngs", tmp_path / "out")
    np.testing.assert_array_equal(made.images()[:], pair[1].images()[:])
    # Copies count: a generator that draws one image again and again must not be flattered.
    for number in range(3):
        (tmp_path / "pngs" / f"copy{number}.png").write_bytes((tmp_path / "pngs" / "0000.png").read_bytes())
    _, again = open_pair(pair[0].path, tmp_path / "pngs", tmp_path / "more")
    assert (len(again), len(again.refused)) == (23, 0)
    # One of another size is refused with a reason, and the others stay.
    Image.fromarray(np.zeros((20, 20), np.uint16)).save(tmp_path / "pngs" / "small.png")
    _, partly = open_pair(pair[0].path, tmp_path / "pngs", tmp_path / "partly")
    assert (len(partly), partly.refused["reason"].tolist()) == (23, ["geometry"])


def test_what_cannot_be_compared_is_refused_with_what_to_do(pair: tuple[Store, Store], tmp_path: Path) -> None:
    write_pngs(pair[1], tmp_path / "pngs", bits=8)
    with pytest.raises(InputError, match=r"8 bits .* compared at 12.*--bits"):
        open_pair(pair[0].path, tmp_path / "pngs", tmp_path / "out")
    other = make(tmp_path / "other", 2, 3, size=(36, 28))
    with pytest.raises(InputError, match=r"36 x 28.*--height"):
        open_pair(pair[0].path, other.path, tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no image"):
        Source.at(tmp_path / "empty")
    with pytest.raises(InputError, match="There is no folder"):
        Source.at(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"bits": 8}, "same --bits"),
        ({"window": "lut:0"}, "same --window"),
        ({"laterality": "left"}, "same --laterality"),
        ({"size": (44, 36)}, "a common size"),
    ],
)
def test_stores_that_look_different_are_refused(tmp_path: Path, change: dict, sentence: str) -> None:
    looks = {"window": "0", "laterality": "keep"}
    one = make(tmp_path / "one", 2, 1, **looks)
    other = make(tmp_path / "other", 2, 2, **{**looks, **change})
    with pytest.raises(InputError, match=sentence):
        compare_stores(one, other)


def test_sizes(pair: tuple[Store, Store], tmp_path: Path) -> None:
    coarse = make(tmp_path / "coarse", 2, 1, size=(20, 16))
    assert compare_stores(pair[0], coarse) == (20, 16)
    assert compare_stores(pair[0], pair[1]) == (40, 32)
    assert compare_stores(pair[0], pair[1], (10, 8)) == (10, 8)
    with pytest.raises(InputError, match="40 x 32"):
        compare_stores(pair[0], coarse, (40, 32))
    assert len(set(patients(pair[0]))) == 20


def test_a_pass_on_dask_is_a_pass_here(pair: tuple[Store, Store]) -> None:
    images = pair[0].images()
    here = image_moments(images[:], 12)
    seen: list[int] = []
    moments = map_images(images, image_moments, 12, progress=lambda task, done, total: seen.append(done))
    np.testing.assert_array_equal(moments, here)
    assert seen == [16, 32, 40]
    rows = np.array([31, 2, 17])
    np.testing.assert_array_equal(map_images(images, image_moments, 12, rows=rows), here[rows])
    np.testing.assert_array_equal(map_images(images, image_moments, 12, workers=2), here)


def page_faults(images: np.ndarray) -> np.ndarray:
    """Process, and pages that it has had to be given so far, for every image."""
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    return np.full((len(images), 2), [os.getpid(), faults])


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only the memory of glibc can be told to stay")
def test_a_worker_keeps_the_memory_of_its_images(tmp_path: Path) -> None:
    images = make(tmp_path / "store", 1, 1, size=(640, 512)).images()
    found = map_images(images, page_faults, rows=np.zeros(320, int), workers=2)[::16]  # a row a task
    for worker in np.unique(found[:, 0]):
        more = np.diff(found[found[:, 0] == worker, 1])
        # An image takes 160 pages, and a task 2,560 where each is asked for anew.
        assert np.median(more) < 160


def test_dicom_folder_and_store(phantoms: Path, store: Store, tmp_path: Path) -> None:
    found, again = open_pair(phantoms, store.path, tmp_path / "out")
    np.testing.assert_array_equal(found.images()[:], again.images()[:])
    assert notes(found, again)[-1] == "16 images are in both sets, pixel by pixel."
