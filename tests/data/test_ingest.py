"""The ingest survives a kill, refuses with reasons, and writes no identifier."""

from __future__ import annotations

import errno
import gzip
import io
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import numpy as np
import psutil
import pydicom
import pytest
from dicom_files import drawn, phantom
from pandas.testing import assert_frame_equal
from PIL import Image
from pydicom.dataset import FileMetaDataset
from pydicom.fileset import FileSet

from mammogan.data import ingest as stage
from mammogan.data.deidentify import salt_path
from mammogan.data.ingest import Settings, ingest
from mammogan.data.metadata import LabelSource
from mammogan.data.segmentation import chest_side
from mammogan.data.store import Store
from mammogan.data.walk import walk
from mammogan.errors import InputError, NothingAcceptedError, OutputError, ParameterError, StoreError, TableError

SMALL = Settings(height=40, width=32)


def picture_bytes() -> bytes:
    """Return a PNG of a half ellipse on black."""
    rows, columns = np.mgrid[:160, :128]
    noise = np.random.default_rng(0).integers(20000, 60000, rows.shape)
    stream = io.BytesIO()
    inside = ((rows - 80) / 70) ** 2 + (columns / 100) ** 2 < 1
    Image.fromarray((noise * inside).astype(np.uint16)).save(stream, "PNG")
    return stream.getvalue()


SLOWLY = """
import sys, time
import mammogan.data.ingest as ingest, mammogan.data.store as store
accept = store.StoreWriter.accept
def slow(*given, **facts):
    time.sleep(float(sys.argv[3]))
    return accept(*given, **facts)
store.StoreWriter.accept = slow
store.StoreWriter.__init__.__defaults__ = (2,)  # a shard of two images, so that there is something to lose
ingest.ingest([sys.argv[1]], sys.argv[2], ingest.Settings(height=40, width=32))
"""


@pytest.mark.slow
def test_ingest_killed_again_and_again_ends_with_the_same_bytes(phantoms: Path, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    subprocess.run([sys.executable, "-c", SLOWLY, str(phantoms), str(whole), "0"], check=True)
    shutil.copy(salt_path(whole), salt_path(killed))
    for parts in (1, 3, 6):
        run = subprocess.Popen([sys.executable, "-c", SLOWLY, str(phantoms), str(killed), "0.15"])
        deadline = time.time() + 60
        while time.time() < deadline and len(list(killed.glob("manifest.parts/part-*"))) < parts:
            time.sleep(0.01)
        children = psutil.Process(run.pid).children(recursive=True)
        assert children
        os.kill(run.pid, signal.SIGKILL)
        run.wait()
        _, alive = psutil.wait_procs(children, timeout=20)
        assert not alive  # nobody keeps reading after the parent is gone
        with pytest.raises(StoreError, match="not finished"):
            Store.open(killed)
    subprocess.run([sys.executable, "-c", SLOWLY, str(phantoms), str(killed), "0"], check=True)
    files = [path.relative_to(whole) for path in sorted(whole.rglob("c/*/*/*"))]
    assert len(files) == 8 * len(Store.open(whole).sizes)
    for file in files:
        assert (whole / file).read_bytes() == (killed / file).read_bytes()
    assert_frame_equal(Store.open(whole).manifest, Store.open(killed).manifest)


@pytest.mark.parametrize("file", ["c/0/0/0", "part-000000.parquet", "manifest.parquet", "refused.csv"])
def test_a_full_disk_is_one_sentence_and_the_same_call_continues(
    phantoms: Path, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    flush = os.fsync

    def full(number: int) -> None:
        written = os.readlink(f"/proc/self/fd/{number}")  # .NAME.aside next to its place
        if written.replace("/.", "/").removesuffix(".aside").endswith(file):
            raise OSError(errno.ENOSPC, "No space left on device")
        flush(number)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match=r"is full; free space in /.* and run the same command again"):
        ingest([phantoms], tmp_path / "s", SMALL)
    monkeypatch.undo()
    assert ingest([phantoms], tmp_path / "s", SMALL).fingerprint == store.fingerprint


def test_a_full_disk_of_temporary_files_is_one_sentence(
    phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> bool:
        database = sqlite3.connect("")
        database.execute("PRAGMA max_page_count = 1")
        return bool(database.execute("CREATE TABLE a (b)"))

    monkeypatch.setattr(stage.Seen, "before", full)
    with pytest.raises(OutputError, match="holds temporary files, is full"):
        ingest([phantoms], tmp_path / "s", SMALL)


def test_sources_that_changed_are_not_mixed_in(phantoms: Path, tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    for number in range(2):
        shutil.copy(phantoms / f"000000{number}.dcm", source)
    first = ingest([source], tmp_path / "s", SMALL)
    assert ingest([source], tmp_path / "s", SMALL).fingerprint == first.fingerprint
    shutil.copy(phantoms / "0000002.dcm", source)
    with pytest.raises(InputError, match="sources have changed"):
        ingest([source], tmp_path / "s", SMALL)
    (source / "0000002.dcm").rename(source / "-.dcm")
    with pytest.raises(InputError, match="sources have changed"):
        ingest([source], tmp_path / "s", SMALL)


@pytest.mark.parametrize("scheduler", [None, "local"])
@pytest.mark.slow
def test_workers_do_not_change_the_store(phantoms: Path, store: Store, tmp_path: Path, scheduler: str | None) -> None:
    again = ingest([phantoms], tmp_path / "s", SMALL, workers=2, scheduler=scheduler)
    assert again.fingerprint == store.fingerprint


@pytest.mark.slow
def test_a_scheduler_that_exists_is_used(phantoms: Path, store: Store, tmp_path: Path) -> None:
    from distributed import LocalCluster

    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster:
        again = ingest([phantoms], tmp_path / "s", SMALL, scheduler=cluster.scheduler_address)
    assert again.fingerprint == store.fingerprint


@pytest.mark.slow
def test_no_identifier_is_written_anywhere(phantoms: Path, tmp_path: Path) -> None:
    source = tmp_path / "archive"
    source.mkdir()
    for number, path in enumerate(sorted(phantoms.glob("*.dcm"))[:4]):
        dataset = pydicom.dcmread(path)
        dataset.PatientName, dataset.PatientID = "PLANTED^NAME", f"PLANTED-{number}"
        dataset.PatientBirthDate, dataset.AccessionNumber = "19611124", "PLANTED-ACC"
        dataset.InstitutionName = dataset.StationName = "PLANTED CLINIC"
        dataset.private_block(0x0099, "PLANTED CREATOR", create=True).add_new(0x01, "LO", "PLANTED PRIVATE")
        if number == 1:
            dataset.Modality = "CT"
        dataset.save_as(source / f"PLANTED {number}.dcm")
    uids = [str(pydicom.dcmread(path).SOPInstanceUID) for path in source.iterdir()]
    (source / "PLANTED 9.dcm").write_bytes((source / "PLANTED 0.dcm").read_bytes()[:2000])
    command = [sys.executable, "-m", "mammogan", "ingest", str(source), "--store", str(tmp_path / "s")]
    done = subprocess.run([*command, "--height", "40", "--width", "32"], capture_output=True, check=True)
    store = Store.open(tmp_path / "s")
    assert len(store) == 3
    assert store.manifest["patient"].nunique() == 3
    written = [path.read_bytes() for path in store.path.rglob("*") if path.is_file()]
    written += [store.manifest.to_csv().encode(), store.refused.to_csv().encode(), done.stdout, done.stderr]
    for secret in ("PLANTED", "19611124", *uids):
        assert not any(secret.encode() in content for content in written)


def test_a_long_folder_takes_no_memory(tmp_path: Path) -> None:
    for number in range(3000):
        (tmp_path / f"{number:06d}.txt").touch()
    tracemalloc.start()
    assert sum(1 for _ in walk([tmp_path])) == 3000
    few = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert few < 200_000  # names and paths alone would take 600 kB


def test_duplicates_and_strangers_are_refused(phantoms: Path, tmp_path: Path) -> None:
    source = tmp_path / "archive"
    source.mkdir()
    (source / "a.dcm").write_bytes((phantoms / "0000000.dcm").read_bytes())
    (source / "b.dcm").write_bytes((phantoms / "0000000.dcm").read_bytes())
    (source / "readme.txt").write_text("hello")
    Image.fromarray(np.zeros((80, 64), np.uint8)).save(source / "blank.png")
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (80, 64, 3), np.uint8)).save(source / "color.png")
    (source / "broken.png").write_bytes(b"\x89PNG no more")
    store = ingest([source], tmp_path / "s", SMALL)
    assert len(store) == 1
    assert sorted(store.refused["reason"]) == ["color", "duplicate", "no_label", "not_an_image", "not_dicom"]


def test_pictures_with_labels(phantoms: Path, tmp_path: Path) -> None:
    source = tmp_path / "pictures"
    source.mkdir()
    image = np.zeros((200, 240), np.uint16)
    rows, columns = np.mgrid[:160, :120]
    noise = np.random.default_rng(0).integers(20000, 60000, (160, 120))
    image[20:180, 40:160] = noise * (((rows - 80) / 80) ** 2 + (columns / 120) ** 2 < 1)
    Image.fromarray(image).save(source / "one.png")
    (source / "labels.csv").write_text("file,patient,side,view,age,density\none.png,P1,L,CC,57,C\n")
    store = ingest([source], tmp_path / "s", SMALL)
    row = store.manifest.iloc[0]
    assert (row["view"], row["laterality"], row["age"], row["density"]) == ("CC", "L", 57, "C")
    # A half ellipse of 3/4 of the grid's width: the letterbox is gone and the breast fills the height.
    assert store.images()[0].mean() == pytest.approx(40000 / 65535 * 4095 * np.pi / 4 * 30 / 32, rel=0.02)
    assert store.images()[0][20, 0] > 1000


def test_rows_that_contradict_each_other_are_named_as_the_reason(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in "ab":
        (tmp_path / "in" / f"{name}.png").write_bytes(picture_bytes())
    (tmp_path / "in" / "one.csv").write_text("file,view\na.png,MLO\na.png,MLO\nb.png,MLO\n")
    (tmp_path / "in" / "two.csv").write_text("file,view\nb.png,CC\n")
    store = ingest([tmp_path / "in"], tmp_path / "s", SMALL)
    assert store.manifest["view"].tolist() == ["MLO"]
    assert store.refused["reason"].tolist() == ["no_label"]
    assert "or rows that contradict each other" in store.refused["sentence"][0]


def test_pictures_of_the_size_of_the_store_are_not_resampled(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:400, :320]
    inside = ((rows - 200) / 170) ** 2 + (columns / 240) ** 2 < 1  # with black above, below and at the right
    picture = np.where(inside, rng.integers(90, 200, inside.shape), 0).astype(np.uint8)
    (tmp_path / "pictures").mkdir()
    Image.fromarray(picture).save(tmp_path / "pictures" / "one.png")
    store = ingest(
        [tmp_path / "pictures"], tmp_path / "s", Settings(400, 320), labels=LabelSource(assume={"view": "MLO"})
    )
    np.testing.assert_array_equal(store.images()[0], np.rint(picture.astype(float) * 4095 / 255))


def test_what_a_program_drew_is_refused_unless_asked_for(phantoms: Path, tmp_path: Path) -> None:
    source = drawn(tmp_path / "in")
    shutil.copy(phantoms / "0000000.dcm", source)
    (source / "labels.csv").write_text("file,view\n1.png,MLO\n")
    store = ingest([source], tmp_path / "s", SMALL)
    assert (len(store), store.refused["reason"].tolist()) == (1, ["synthetic"] * 2)
    assert store.refused["sentence"].str.contains("add --synthetic").all()
    assert "allow_synthetic" not in store.attributes["made_by"]  # a store that was begun before is continued
    asked = ingest([source], tmp_path / "asked", Settings(40, 32, allow_synthetic=True))
    assert [list(flags) for flags in asked.manifest["flags"]] == [["synthetic"], [], ["synthetic"]]
    refusing = Settings(40, 32, allow_synthetic=True, refuse_flags=("synthetic",))
    assert len(ingest([source], tmp_path / "refusing", refusing)) == 1


def test_one_odd_file_never_ends_the_run(phantoms: Path, tmp_path: Path) -> None:
    source = tmp_path / "in"
    (source / "sub").mkdir(parents=True)
    contents = [(phantoms / f"000000{number}.dcm").read_bytes() for number in range(6)]
    Path(os.fsdecode(bytes(source) + b"/M\xfcller.dcm")).write_bytes(contents[0])
    (source / "no preamble").write_bytes(contents[1][132:])
    (source / "no preamble 2.dcm").write_bytes(contents[2][128:])
    (source / "picture.png").write_bytes(contents[3])
    (source / "a.zip").write_bytes(b"PK\x03\x04" + bytes(100))
    (source / "a.dcm.gz").write_bytes(gzip.compress(contents[4]))
    (source / "a.tar").write_bytes(bytes(257) + b"ustar" + bytes(1000))
    (source / "empty.dcm").touch()
    (source / "broken.dcm").symlink_to("nowhere")
    (source / "sub" / "up").symlink_to("..")
    os.mkfifo(source / "pipe.dcm")
    (source / ".hidden.dcm").write_bytes(contents[5])
    Path(os.fsdecode(bytes(source) + b"/G\xf6del.png")).write_bytes(picture_bytes())
    (source / "labels.csv").write_text("file,view\nGödel.png,MLO\n", encoding="utf-8")
    (source / "odd.csv").write_text(f'file,view\nGödel.png,CC\n"{"x" * 200_000}",MLO\n', encoding="utf-8")
    (source / "empty.csv").touch()
    (source / "a.Z").write_bytes(b"\x1f\x9d" + bytes(100))
    (source / "a.iso").write_bytes(bytes(32769) + b"CD001" + bytes(1000))
    files = FileSet()
    files.add(phantoms / "0000000.dcm")
    files.write(tmp_path / "disc")
    (tmp_path / "disc" / "DICOMDIR").rename(source / "DICOMDIR")
    for _ in range(2):
        store = ingest([source], source / "store", SMALL)
        assert len(store) == 5
        reasons = ["archive"] * 5 + ["hidden", "link", "link", "not_dicom", "sop_class", "special", "table", "table"]
        assert sorted(store.refused["reason"]) == reasons
    sentences = " ".join(store.refused["sentence"])
    assert "a CD or DVD archive" in sentences and "is a DICOMDIR, the index of a disc" in sentences
    assert "zip archive; unpack" in sentences and "it is empty" in sentences and "cannot be read (Error)" in sentences
    with pytest.raises(TableError, match=r"odd\.csv cannot be read"):
        ingest([source], tmp_path / "named", SMALL, labels=LabelSource(source / "odd.csv"))


def test_files_without_transfer_syntax_or_sign_are_read(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for number, implicit in enumerate((True, False)):
        dataset = phantom()
        dataset.SOPInstanceUID, dataset.PatientID = f"1.2.{number}", str(number)
        dataset.PixelData = (dataset.pixel_array // (1 + number)).tobytes()
        del dataset.PixelRepresentation
        dataset.preamble, dataset.file_meta = None, FileMetaDataset()
        dataset.save_as(tmp_path / "in" / f"{number}", implicit_vr=implicit, little_endian=True)
    store = ingest([tmp_path / "in"], tmp_path / "s", SMALL)
    assert store.manifest["transfer_syntax"].tolist() == ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1"]


def test_bad_folders_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no file or folder"):
        ingest([tmp_path / "nothing"], tmp_path / "s1")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="the folder is empty"):
        ingest([tmp_path / "empty"], tmp_path / "s2")
    (tmp_path / "empty" / "a.txt").write_text("no image")
    with pytest.raises(InputError, match="1 not_dicom"):
        ingest([tmp_path / "empty"], tmp_path / "s3")
    with pytest.raises(ParameterError, match="keep or left"):
        Settings(laterality="up")


def test_nothing_accepted_leaves_reasons_and_does_not_block(phantoms: Path, tmp_path: Path) -> None:
    source = tmp_path / "in"
    (source / "sub").mkdir(parents=True)
    for number in range(5):
        (source / "sub" / f"{number}.txt").write_text("no image")
    (source / ".hidden").touch()
    with pytest.raises(NothingAcceptedError, match=r"6 files \(5 not_dicom, 1 hidden\).*s.refused.csv"):
        ingest([source], tmp_path / "s", SMALL)
    listed = tmp_path / "s.refused.csv"
    assert listed.read_text().splitlines() == [
        "reason,files,file",
        *(f"not_dicom,5,sub/{number}.txt" for number in range(3)),
        "hidden,1,.hidden",
    ]
    assert listed.stat().st_mode & 0o777 == 0o600
    with pytest.raises(StoreError, match="no store"):
        Store.open(tmp_path / "s")
    assert Store.without_images(tmp_path / "s").refused["reason"].tolist() == ["hidden", *["not_dicom"] * 5]
    shutil.copy(phantoms / "0000000.dcm", source / "sub")
    for _ in range(2):  # of a store that is continued the list is the same
        assert len(ingest([source], tmp_path / "s", Settings(20, 16, bits=8))) == 1
        assert len(listed.read_text().splitlines()) == 5


@pytest.mark.slow
def test_real_archive(real_data: Path, tmp_path: Path) -> None:
    store = ingest([real_data], tmp_path / "s", Settings(height=80, width=64))
    assert len(store) == 253
    assert set(store.refused["reason"]) <= {"modality", "not_dicom", "archive", "malformed", "table"}
    # Every left breast has its chest wall at the left edge.
    images = store.images((20, 16))[:].astype(float)
    left = (store.manifest["laterality"] == "L").to_numpy()
    sides = np.array([chest_side(image) for image in images])
    assert (sides[left] == "L").mean() > 0.97
    assert (sides[~left] == "R").mean() > 0.97
