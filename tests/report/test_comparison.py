"""The command align: a report whose links lead somewhere, with an interval and a ceiling for every score."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from small_stores import make_store
from typer.testing import CliRunner

from mammogan.__main__ import app
from mammogan.data.pairs import are_patients_known, open_pair
from mammogan.data.store import Store
from mammogan.metrics.moments import image_moments
from mammogan.metrics.resampling import ResamplingDesign
from mammogan.report.alignment import Comparison
from mammogan.report.comparison import lead, notes, stretch_notes
from mammogan.types import Size

pytestmark = pytest.mark.slow
QUICK = ["--draws", "3", "--splits", "2", "--permutations", "5"]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Store]:
    folder = tmp_path_factory.mktemp("pair")
    return make_store(folder / "real", 40, 1), make_store(folder / "synthetic", 20, 2)


@pytest.fixture(scope="module")
def report(pair: tuple[Store, Store], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("report") / "out"
    done = CliRunner().invoke(app, ["align", *(str(store.path) for store in pair), "--out", str(out), *QUICK])
    assert done.exit_code == 0, done.output
    assert f"The report is {out / 'report.html'}" in done.output
    seconds, gigabytes = re.search(r"took (\d+) s of processor time and (\d+\.\d+) GB of memory", done.output).groups()
    assert int(seconds) > 0 and 0.05 < float(gigabytes) < 50
    return out


class _Links(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.names: set[str] = set()
        self.without_alt = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = dict(attributes)
        self.links += [found[name] or "" for name in ("href", "src") if name in found]
        self.names |= {found["id"]} if found.get("id") else set()
        self.without_alt += tag == "img" and not found.get("alt")


def test_every_link_of_the_report_leads_somewhere(report: Path) -> None:
    page = _Links((report / "report.html").read_text())
    figures = {f"figures/{name}.png" for name in ("moments", "table1", "support", "texture", "frechet", "worst")}
    assert figures | {"results.json"} <= set(page.links)
    within = {link.removeprefix("#") for link in page.links if link.startswith("#")}
    assert {"moments", "images"} <= within <= page.names  # lines of the summary lead to sections
    assert [link for link in page.links if not link.startswith("#") and not (report / link).is_file()] == []
    assert page.without_alt == 0


def test_the_lead_states_draws_and_patients_as_they_are(pair: tuple[Store, Store]) -> None:
    moments = [image_moments(store.images((40, 32)), store.bits) for store in pair]
    design = ResamplingDesign(np.arange(40) // 2, 20, draws=100, splits=20)
    known, unknown = (
        " ".join(lead(Comparison(*moments, design, known=known), pair, (40, 32), images=True))
        for known in (True, False)
    )
    assert "from 100 random halves" in known
    assert "Scores of features have 80 random halves and 20 splits, those of texture 8 and 8." in known
    assert "No patient is on both sides of a ceiling." in known
    assert "No patient" not in unknown
    assert "The patients of the real images are not known" in unknown


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


def test_images_far_out_are_named(pair: tuple[Store, Store]) -> None:
    first, second = (image_moments(store.images(), store.bits) for store in pair)
    black = np.r_[second[:7], [[1e-4, 1e-7, 170, 3e4, 5e6]], second[8:]]
    both = [Comparison(first, table, ResamplingDesign(40, 20)) for table in (second, black)]
    plain, stretched = (list(stretch_notes(comparison, pair)) for comparison in both)
    assert plain == []
    assert stretched[0].startswith("1 synthetic image is far out (2-7; the farthest has M5 = 5e+06)")


def test_the_command_repeats_and_overwrites_only_when_told(pair: tuple[Store, Store], report: Path) -> None:
    command = ["align", *(str(store.path) for store in pair), "--out", str(report), *QUICK]
    before = (report / "results.json").read_text()
    refused = CliRunner().invoke(app, command)
    assert refused.exit_code == 1
    assert "not empty; give another folder" in str(refused.exception)
    assert CliRunner().invoke(app, [*command, "--force"]).exit_code == 0
    assert (report / "results.json").read_text() == before
    assert CliRunner().invoke(app, ["align", str(pair[0].path)]).exit_code == 2


def test_moments_alone_a_network_and_held_out_patients(pair: tuple[Store, Store], report: Path, tmp_path: Path) -> None:
    full = json.loads((report / "results.json").read_text())
    command = ["align", *(str(store.path) for store in pair), *QUICK]
    assert CliRunner().invoke(app, [*command, "--out", str(tmp_path / "moments"), "--moments-only"]).exit_code == 0
    some = json.loads((tmp_path / "moments" / "results.json").read_text())
    said = {key for key in some if key.startswith("alignment.summary.")}
    assert any("0 of 20 images were read again" in some[key]["value"] for key in said)
    numbers = {key: entry for key, entry in some.items() if key not in said}
    assert numbers == {key: full[key] for key in numbers} and len(numbers) < len(full)
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
    assert "has no images in the split 'nowhere'" in str(wrong.exception)


def test_dicom_folder_and_store(phantoms: Path, store: Store, tmp_path: Path) -> None:
    found, again = open_pair(phantoms, store.path, tmp_path / "out")
    np.testing.assert_array_equal(found.images()[:], again.images()[:])
    assert list(notes(found, again))[-1] == "16 images are in both sets, pixel by pixel."


def test_a_license_beside_synthetic_images_flatters_nobody(pair: tuple[Store, Store], tmp_path: Path) -> None:
    for number, image in enumerate(pair[1].images((40, 32))[:8]):
        Image.fromarray(np.repeat(np.repeat(image, 4, 0), 4, 1) << 4).save(tmp_path / f"{number}.png")
    (tmp_path / "License.txt").write_text("Use as you like.")
    said = []
    for name in ("first", "second"):
        said.append(list(notes(*open_pair(pair[0].path, tmp_path, tmp_path.with_name(name)))))
        (tmp_path / "9.png").write_bytes(b"no picture")
    assert said[0][1] == "1 of 9 synthetic files was refused (1 not_dicom)."
    assert said[1][1].endswith("images left out of a synthetic set flatter it.")


def test_files_that_state_no_patient_have_no_known_patients(
    pair: tuple[Store, Store], phantoms: Path, tmp_path: Path
) -> None:
    """Each became its own patient, so that nothing is said of other patients."""
    for number, image in enumerate(pair[0].images((40, 32))[:16]):
        Image.fromarray(np.repeat(np.repeat(image, 4, 0), 4, 1) << 4).save(tmp_path / f"{number}.png")
    unnamed, named = open_pair(tmp_path, phantoms, tmp_path.with_name("sets"), size=Size(40, 32))
    assert [are_patients_known(store) for store in (unnamed, named, pair[0])] == [False, True, True]
