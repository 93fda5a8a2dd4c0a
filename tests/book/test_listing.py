"""The code of figures and tables."""

from __future__ import annotations

from pathlib import Path

import listing
import nbformat
from book_fixtures import ROOT

from mammogan.report import provenance


def test_code_behind_a_figure(tmp_path: Path) -> None:
    source = 'results.figure("spectra", style.spectra(f, p), data)\nresults.table(f"x{n}", t)'
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell("from mammogan.report import style"), nbformat.v4.new_code_cell(source)]
    )
    nbformat.write(notebook, tmp_path / "n.ipynb")
    assert listing.drawn(tmp_path / "n.ipynb") == {"spectra": source}
    # A cell that only shows a figure is listed with the cell that made it.
    show = nbformat.v4.new_code_cell("section.figure")
    show.metadata["mystnb"] = {"figure": {"caption": "n = 2 {csv}`alignment/support`"}}
    made = nbformat.v4.new_code_cell("section = style.growth(x)")
    nbformat.write(nbformat.v4.new_notebook(cells=[made, show]), tmp_path / "m.ipynb")
    assert listing.drawn(tmp_path / "m.ipynb") == {"support": "section = style.growth(x)\n\nsection.figure"}
    known = listing.names(tmp_path / "n.ipynb")
    assert listing.called(source, known, ROOT) == [("mammogan/report/style.py", "spectra")]
    text = (ROOT / "mammogan" / "report" / "style.py").read_text()
    body, first, last = listing.definition(text, "spectra")
    assert body.startswith("def spectra(") and text.splitlines()[first - 1 : last] == body.splitlines()
    record = {"commit": provenance.commit()[0], "modules": {"mammogan/report/style.py": provenance.sha256("")}}
    assert "as it ran" not in listing.at_commit(record, "mammogan/report/style.py", ROOT)[1].split(",")[0]
