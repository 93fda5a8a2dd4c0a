"""Hundreds of broken files: each gets an outcome in time, none ends the reader, none leaks an identifier.

FUZZ=10000 python -m pytest tests/data/test_fuzz.py     the long run; it keeps its counts in benchmarks/results/fuzz.md
"""

from __future__ import annotations

import os
import time
from collections import Counter
from io import BytesIO
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless, JPEGLosslessSV1, JPEGLSLossless, RLELossless

from mammogan import parallel
from mammogan.data.dicom import read_mammogram
from mammogan.data.dicom_writer import Header, Identity, Window, build
from mammogan.data.ingest import Settings, read_source
from mammogan.data.phantom.render import render
from mammogan.data.store import quantize
from mammogan.errors import Refused

COUNT = int(os.environ.get("FUZZ", "300"))
SETTINGS = Settings(height=40, width=32)
ABSURD = {
    "Rows": ("US", [0, 1, 65535]),
    "Columns": ("US", [0, 1, 65535]),
    "NumberOfFrames": ("IS", ["1000000000", "0", "-1"]),
    "SamplesPerPixel": ("US", [0, 3, 65535]),
    "BitsAllocated": ("US", [0, 1, 8, 12, 32, 64, 65535]),
    "BitsStored": ("US", [0, 1, 16, 17, 65535]),
    "HighBit": ("US", [0, 15, 65535]),
    "PixelRepresentation": ("US", [1, 2, 65535]),
    "PhotometricInterpretation": ("CS", ["", "RGB", "PALETTE COLOR", "YBR_FULL_422"]),
    "WindowCenter": ("DS", ["1e308", "-1e308", "0"]),
    "WindowWidth": ("DS", ["0", "-5", "1e308", "1e-300"]),
    "RescaleSlope": ("DS", ["0", "1e308", "-1"]),
    "RescaleIntercept": ("DS", ["1e308"]),
    "ImagerPixelSpacing": ("DS", ["0", ["-1", "-1"], ["1e308", "1"]]),
    "PatientAge": ("AS", ["999Y", "-12Y", "ABCD"]),
    "PixelPaddingValue": ("US", [0, 65535]),
    "VOILUTFunction": ("CS", ["", "CUBIC"]),
}


@pytest.fixture(scope="module")
def originals() -> list[bytes]:
    pixels = quantize(render(5, 2, "MLO", "L", height=160, width=128).shown, 12)
    header = Header("MLO", "L", Identity("k", "PLANTED", "PLANTED", 57), windows=(Window(2047.5, 4096),))
    files = []
    for syntax in (None, RLELossless, JPEG2000Lossless, JPEGLSLossless, JPEGLosslessSV1):
        dataset = build(pixels, header)
        dataset.PatientName = dataset.AccessionNumber = "PLANTED"
        if syntax == JPEGLosslessSV1:  # which pydicom does not write
            stream = imagecodecs.jpeg8_encode(pixels, lossless=True, bitspersample=12)
            dataset.PixelData = encapsulate([stream])
            dataset.file_meta.TransferSyntaxUID = syntax
        elif syntax:
            dataset.compress(syntax, generate_instance_uid=False)
        file = BytesIO()
        dataset.save_as(file, enforce_file_format=True)
        files.append(file.getvalue())
    return files


def mutant(original: bytes, rng: np.random.Generator) -> bytes:
    kind = rng.choice(["flip", "flip header", "truncate", "remove", "absurd", "repeat"])
    content = bytearray(original)
    if kind in ("flip", "flip header"):
        stop = len(content) if kind == "flip" else min(2600, len(content))
        for place in rng.integers(128, stop, rng.integers(1, 24)):
            content[place] = rng.integers(256)
        return bytes(content)
    if kind == "truncate":
        return original[: rng.integers(0, len(original))]
    if kind == "repeat":
        start, stop = np.sort(rng.integers(128, len(original), 2))
        return original[:stop] + original[start:]
    dataset = pydicom.dcmread(BytesIO(original))
    if kind == "remove":
        tags = list(dataset.keys())
        for place in rng.choice(len(tags), rng.integers(1, 4), replace=False):
            del dataset[tags[place]]
    else:
        for keyword in rng.choice(list(ABSURD), rng.integers(1, 4), replace=False):
            vr, values = ABSURD[str(keyword)]
            if keyword in dataset:
                del dataset[str(keyword)]
            dataset.add_new(str(keyword), vr, values[rng.integers(len(values))])
    stream = BytesIO()
    dataset.save_as(stream)
    return stream.getvalue()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.slow
def test_mutated_files_get_an_outcome(originals: list[bytes], tmp_path: Path) -> None:
    for original in originals:
        read_mammogram(original)  # they are good before they are broken
    rng = np.random.default_rng(2021)
    children = parallel.guarded_pool()
    reasons: Counter[str] = Counter()
    slowest = 0.0
    try:
        for number in range(COUNT):
            path = tmp_path / "mutant.dcm"
            try:
                path.write_bytes(mutant(originals[number % len(originals)], rng))
            except Exception:  # pydicom itself would not write it
                reasons["unwritable"] += 1
                continue
            started = time.perf_counter()
            outcome = parallel.outcome(parallel.submit_guarded(children, read_source, path, None, SETTINGS))
            slowest = max(slowest, time.perf_counter() - started)
            assert "PLANTED" not in f"{outcome} {outcome.facts}", number
            reasons[outcome.reason if isinstance(outcome, Refused) else "accepted"] += 1
    finally:
        children.stop()
        children.join()
    if COUNT >= 10_000:
        rows = "".join(f"| {reason} | {count} |\n" for reason, count in reasons.most_common())
        text = f"{COUNT:,} broken files, the slowest took {slowest:.1f} s.\n\n| Outcome | Files |\n|---|---|\n{rows}"
        (Path(__file__).parents[2] / "benchmarks" / "results" / "fuzz.md").write_text(text)
    assert sum(reasons.values()) == COUNT
    assert slowest < parallel.SECONDS
    assert len(reasons) > 5
    assert reasons["unwritable"] < COUNT / 10
