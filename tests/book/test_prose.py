"""The text of the pages and notebooks of this repository."""

from __future__ import annotations

import re

import nbformat
import numpy as np

from mammogan.report.provenance import ROOT


def prose() -> dict[str, str]:
    """{file: prose}: pages and markdown cells, without code, roles, formulas, links, quotations and front matter."""
    found = {path.name: path.read_text() for path in sorted((ROOT / "book").glob("*.md"))}
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = [cell.source for cell in nbformat.read(path, 4).cells if cell.cell_type == "markdown"]
        found[path.name] = "\n\n".join(cells)
    strip = (r"(?s)```.*?```", r"\{[\w:]+\}`[^`]*`", r"`[^`]*`", r"(?s)\$\$.*?\$\$", r"\$[^$\n]*\$", r"\]\([^)]*\)",
             r"\"[^\"\n]*\"", r"\u201c[^\u201d\n]*\u201d")  # fmt: skip
    for pattern in strip:
        found = {name: re.sub(pattern, " ", text) for name, text in found.items()}
    return found


# Numbers in prose that are no results: levels, settings of a method, goals, versions.
SETTINGS = {"95 %", "97 %", "99 %", "90 %", "6 %", "5 %", "99.99", "0.5", "0.9", "1.8", ".52", "3.11", "4.0"}


def printed() -> set[float]:
    """Every number that the paper prints and the library holds: prose may quote it."""
    from mammogan.paper import printed as paper
    from mammogan.paper.readers import P_VALUES

    found = {quote.value for quote in paper.QUOTES} | {paper.RADIOLOGISTS_P, paper.CHI_SQUARE_P, paper.KRUSKAL_P}
    found |= {group.rate for group in paper.TABLE4} | set(paper.TABLE3.values()) | {split.p for split in P_VALUES}
    for table in (paper.TABLE1, paper.TABLE2_INFORMATION, paper.TABLE2_NEIGHBORS):
        found |= set(np.ravel(table).tolist())
    return {round(float(value), 6) for value in found}


def test_no_result_is_typed_in_prose() -> None:
    """Percentages and decimals in prose come from results; what is left is the paper's own, or a setting."""
    typed, known = [], printed()
    for name, text in prose().items():
        for match in re.finditer(r"(?<![\w.])(\d+(?:\.\d+)? ?%|\d*\.\d+)(?![\w])", text):
            if match[1] not in SETTINGS and round(float(match[1].rstrip("% ")), 6) not in known:
                typed.append(f"{name}: {match[1]} in {text[max(match.start() - 40, 0) : match.end() + 20]!r}")
    assert not typed, "\n".join(typed)


def test_every_section_names_what_of_the_paper_it_answers() -> None:
    """Below each heading of a chapter; the comparison at the end of one needs no name."""
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        text = "\n\n".join(c.source for c in nbformat.read(path, 4).cells if c.cell_type == "markdown")
        sections = re.findall(r"^## (.+)\n+(.*)", text, re.M)
        assert len(sections) > 3, path.name
        for title, first in sections:
            assert re.match(r"\{paper\}`[^`]+`$", first), f"{path.name}: {title}"


def in_view(cells: list[nbformat.NotebookNode]) -> tuple[int, int]:
    """Return how many figures and tables a chapter may have in view, all conditions met: those that nothing folds."""
    figures = tables = 0
    for cell in cells:
        tags = set(cell.metadata.get("tags", []))
        if cell.cell_type == "markdown":
            text = re.sub(r"(?ms)^:::\{fold\}.*?^:::$", "", cell.source)
            tables += len(re.findall(r"(?m)^\|[-:| ]+\|$", text)) + text.count("```{compare}")
        elif not tags & {"hide-output", "remove-output", "hide-cell", "remove-cell", "parameters"}:
            figures += "figure" in cell.metadata.get("mystnb", {})
            tables += len(re.findall(r"(?m)^(?:shown|show)\(|^display\(shown\(", cell.source))
    return figures, tables


def test_a_chapter_has_at_most_four_figures_and_two_tables_in_view() -> None:
    """Others are folded: below a table of a page by {fold}, below a cell by its tag."""
    counted = {
        path.name: in_view(nbformat.read(path, 4).cells) for path in sorted((ROOT / "notebooks").glob("*.ipynb"))
    }
    assert min(figures + tables for figures, tables in counted.values()) > 2, counted
    assert all(figures <= 4 and tables <= 2 for figures, tables in counted.values()), counted


def test_every_figure_says_what_it_shows() -> None:
    """Own name, caption with n, data, alternative text; radiographs keep their gray levels and state their window."""
    names = set[str]()
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        for cell in nbformat.read(path, 4).cells:
            facts = cell.metadata.get("mystnb", {})
            if "results.figure(" not in cell.source and "figure" not in facts:
                continue
            where = f"{path.name}: {cell.source.splitlines()[-1]}"
            figure, image = facts.get("figure", {}), facts.get("image", {})
            assert figure.get("name", "").startswith("fig-") and figure["name"] not in names, where
            names.add(figure["name"])
            assert len(image.get("alt", "")) > 20, where
            caption = figure.get("caption", "")
            assert re.search(r"\bn\b|\{val\}", caption), where
            assert "{csv}`" in caption, where
            if "contact_sheet" in cell.source:
                assert "dark-light" in image.get("classes", ""), where
                assert "window" in caption.lower(), where
