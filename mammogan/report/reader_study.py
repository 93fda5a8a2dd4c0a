"""Analysis of the answers of a two-alternative reader study, section by section, to a folder with a report.

Any CSV whose rows are answers with the columns reader, question and correct can be analyzed; the report says what other
columns would allow.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from mammogan.report import reader_sections as sections
from mammogan.report import style
from mammogan.report.html import Part, Table, write_page
from mammogan.report.reader_answers import StudyAnswers
from mammogan.report.reader_sections import Numbers, Rows, Section
from mammogan.report.results import Results
from mammogan.types import Progress, no_progress

SECTIONS: dict[str, Section] = {
    "Who took part": sections.demographics,
    "Can readers tell real from synthetic?": sections.overall,
    "Scores of attempts": sections.distribution,
    "Over the questions": sections.over_questions,
    "Groups of readers": sections.groups,
    "Readers and images as random effects": sections.mixed_model,
    "Response times": sections.times,
    "The next study": sections.next_study,
}
FAMILIES = (
    ("equivalence of all answers with guessing", "primary; one test, not adjusted"),
    ("rate of each group against one half", "Holm over the groups"),
    ("groups against each other", "Holm over the traits, all attempts and first attempts separately"),
    ("pairs of questions", "Holm over all pairs; unadjusted P values are given too, as in the paper"),
    ("everything else", "exploratory; P values are unadjusted and not conclusive"),
)


def write_section(section: Section, study: StudyAnswers, results: Results, title: str = "") -> Part:
    """Write the numbers, tables and figures of a section, and return it as a part of a page."""
    part = Part(title, [])
    for item in section(study):
        if isinstance(item, str):
            part.text = [*part.text, item]
        elif isinstance(item, Numbers | Rows):
            if isinstance(item, Numbers):
                results.keep(item.values)
            elif item.name:
                results.table(item.name, item.data)
            if item.caption:
                part.tables.append(item.table)
        else:
            if study.note:
                item.figure.suptitle(study.note, y=1.01, va="bottom", fontsize=8)
            results.figure(item.name, item.figure, item.data)
            part.pictures.append(replace(item, caption=f"{study.note} {item.caption}".strip()))
    return part


def spread(studies: Iterable[StudyAnswers], chosen: Sequence[Section]) -> pd.DataFrame:
    """Compute how far the numbers of sections differ between studies, e.g. between data sets of one reconstruction.

    Returns:
        One row per number: key, number (its label), lowest, median, highest.
    """
    numbers: dict[tuple[str, str], list[float]] = {}
    for study in studies:
        blocks = [item.values for section in chosen for item in section(study) if isinstance(item, Numbers)]
        plt.close("all")
        for key, value in (pair for block in blocks for pair in block.items()):
            for end, number in zip(("", ", low", ", high"), (value.value, *(value.interval or ())), strict=False):
                numbers.setdefault((key + end, value.label), []).append(float(number))
    rows = [(*names, min(n), float(np.median(n)), max(n)) for names, n in numbers.items()]
    return pd.DataFrame(rows, columns=["key", "number", "lowest", "median", "highest"])


def analyse(study: StudyAnswers, out: str | Path, *, chapter: str = "study", progress: Progress = no_progress) -> Path:
    """Run every section and write report.html, results.json, figures/ and data/ to a folder.

    Args:
        study: answers and settings.
        out: folder to write to.
        chapter: first part of the keys in results.json.
        progress: counts "sections".

    Returns:
        The report.
    """
    style.apply_style()
    results, parts = Results(out, chapter), []
    for number, (title, section) in enumerate(SECTIONS.items()):
        progress("sections", number, len(SECTIONS), title)
        parts.append(write_section(section, study, results, title))
        plt.close("all")
    results.save()
    text = () if study.missing else ("Every analysis was done.",)
    parts += [
        Part("Families of tests", (), [Table("Adjustment of each family", ("family", "adjustment"), FAMILIES)]),
        Part("What was not done", text, [Table("Missing", ("what", "why"), list(study.missing.items()))]),
    ]
    sessions = study.sessions
    lead = [study.note] if study.note else []
    lead.append(
        f"{len(study.table)} answers, {len(sessions)} attempts, {sessions['reader'].nunique()} readers. The margin of "
        f"equivalence is ± {study.margin:g}; seed {study.seed}, {study.simulations} simulations."
    )
    data = sorted(path.relative_to(out).as_posix() for path in Path(out).glob("data/*.csv"))
    return write_page(Path(out) / "report.html", "Reader study", lead, parts, ["results.json", *data])
