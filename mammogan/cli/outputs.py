"""Kinds of folders that commands write, and what each is recognized by before --force replaces it."""

import json
from collections.abc import Callable

from mammogan.atomic import FolderKind

# Paths of the files and empty folders of a store that state what became of its sources, and of a report.
STATED = r"\.lock|manifest\.parquet|report(?:/index\.html|/files\.csv|/outcomes\.csv)?"
REPORT = r"report\.html|results\.json|(?:figures|data)(?:/(?:[^/]+/)*[^/]+\.(?:csv|gif|imrmc|json|png|svg|webp))?"

TABLES = r"(?:rates|views|agreement|detection)\.csv"  # of labels


def _has(*keys: str, **values: str) -> Callable[[str], bool]:
    """Return a test for a JSON object with these keys, and with these values."""

    def holds(content: str) -> bool:
        record = json.loads(content)
        return all(key in record for key in keys) and all(record[key] == value for key, value in values.items())

    return holds


def _store(command: str) -> FolderKind:
    """Return the kind of stores that a command makes, see `mammogan.data.store`."""

    def holds(content: str) -> bool:
        attributes = json.loads(content)["attributes"]
        return attributes["format"].startswith("mammogan-store-") and attributes["made_by"]["by"] == command

    files = rf"zarr\.json|manifest\.parts(?:/part-\d+\.parquet)?|{STATED}|\d+x\d+(?:/zarr\.json|/c[\d/]*)?"
    return FolderKind(f"a store of mammogan {command}", "zarr.json", holds, files, ".lock")


def _report(chapter: str, noun: str) -> FolderKind:
    """Return the kind of reports whose numbers have keys of one chapter, see `mammogan.report.results`."""

    def holds(content: str) -> bool:
        keys = json.loads(content).keys()
        return bool(keys) and all(key.startswith(f"{chapter}.") for key in keys)

    return FolderKind(noun, "results.json", holds, rf"generators(?:/[^/]+)?|(?:generators/[^/]+/)?(?:{REPORT})")


PHANTOMS = FolderKind(
    "a folder of phantoms",
    "phantoms.csv",
    lambda content: content.startswith("file,patient,view,laterality,age,density,lesions"),
    r"phantoms\.csv|\d{7,}\.dcm",
    "phantoms.csv",
)
STORE = (
    _store("ingest"),
    FolderKind(
        "the report of an ingest that accepted nothing",
        "report/outcomes.csv",
        lambda content: content.startswith("outcome,files,meaning"),
        STATED,
    ),
)
SAMPLES = (
    FolderKind(
        "a folder of drawn images",
        "sample.json",
        _has("generator", "seed", "format", by="sample"),
        r"sample\.json|images\.csv|film\.webp|\d{5,}(?:/[\w-]+\.(?:dcm|png))?",
        "images.csv",
    ),
    _store("sample"),
)
INSPECTION = FolderKind(
    "an inspection",
    "inspection.json",
    _has("seed", "images", "synthetic", "controls", "name"),
    rf"index\.html|(?:candidates|key)\.csv|inspection\.json|(?:images|sheets)(?:/[\w-]+\.png)?|report(?:/{TABLES})?",
)
LABELS = FolderKind(
    "a folder of tables of labels",
    "rates.csv",
    lambda content: content.startswith("observer,kind,view,artifact,"),
    TABLES,
)
STUDY = FolderKind(
    "a reader study",
    "study.json",
    _has("pools", format="mammogan-study-1"),
    r"study\.json|public(?:/pictures|/pictures/\w+\.png|/\w+\.LICENSE\.txt|/[\w.]+\.(?:css|html|js|png|webmanifest))?",
)
ALIGNMENT = _report("alignment", "a report of mammogan align")
PAIRS = _report("pairs", "a report of mammogan pairs")
UTILITY = _report("utility", "a report of mammogan utility")
ANALYSIS = _report("study", "an analysis of a reader study")
REFERENCE = FolderKind(
    "a reference",
    "provenance.json",
    _has("origin", "data_hash", "images_seen"),
    r"README\.md|(?:choice|moments)\.csv|provenance\.json|(?:alignment|artifacts)(?:/\w+\.(?:csv|json))?|"
    r"run(?:/config\.json|/distances\.csv|/\w+\.jsonl|/checkpoints(?:/\d+\.safetensors)?|/samples(?:/\d+\.npy)?)?",
)
