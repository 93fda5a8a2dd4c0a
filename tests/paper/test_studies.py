"""Works next to the paper: their references exist, and the paper's own rates are those of its tables."""

from __future__ import annotations

from mammogan.paper import printed, table3
from mammogan.paper.studies import studies
from mammogan.report.provenance import ROOT


def test_every_work_has_a_reference() -> None:
    bib = (ROOT / "book" / "references.bib").read_text()
    page = (ROOT / "book" / "since.md").read_text()
    for study in studies():
        assert f"{{{study.key}," in bib
        assert study.key in page
        assert study.read


def test_rates_of_the_paper_are_those_of_its_tables() -> None:
    (paper,) = (study for study in studies() if study.key == "korkinof2021")
    everybody, specialists = paper.rates
    assert (everybody.right, everybody.answers) == (int(table3.reconstruct().sum()), 10 * printed.ATTEMPTS)
    row = printed.group("Specializing in breast")
    assert (specialists.right, specialists.answers) == (row.sums.total, 10 * row.attempts)


def test_groups_add_up() -> None:
    (park,) = (study for study in studies() if study.key == "park2021")
    everybody, *groups, _ = park.rates
    assert everybody.right == sum(group.right for group in groups)
    assert everybody.answers == sum(group.answers for group in groups)
