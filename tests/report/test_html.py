"""Pages: summaries with links, marked rows and folded tables."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from mammogan.report.html import Part, Table, write_page
from mammogan.report.summary import DIFFERS, Line


def test_a_page_begins_with_its_summary_marks_rows_and_folds_tables(tmp_path: Path) -> None:
    frame = pd.DataFrame({"row": ["a", "b"], "outside": ["", "farther than real images"]})
    tables = [Table("first", frame), Table("second", frame, folded=True)]
    lines = [Line(DIFFERS, "1 of 2 <rows>", "evidence"), Line(DIFFERS, "2 of 2", "generators/a/report.html")]
    parts = [Part("Evidence", ["text"], tables, name="evidence")]
    page = write_page(tmp_path / "page.html", "Title", ["lead"], parts, summary=lines).read_text()
    assert page.index("1 of 2 &lt;rows&gt;") < page.index("<p>lead") < page.index('<h2 id="evidence">')
    assert '<li class="differs">' in page
    assert 'href="#evidence"' in page
    assert 'href="generators/a/report.html"' in page
    assert page.count('<tr class="marked">') == 2
    assert page.count("<details>") == page.count("</details>") == 1
    assert "second (1 of 2 rows outside)" in page
