"""Pages: summaries with links, marked rows and folded tables."""

from __future__ import annotations

import re
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from mammogan.report.html import Part, Picture, Table, shown, write_page
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


def test_a_dark_page_turns_charts_and_no_radiographs(tmp_path: Path) -> None:
    figures = {"chart": plt.figure(facecolor="white"), "radiographs": plt.figure(facecolor="black")}
    pictures = [Picture(name, figure, name, pd.DataFrame()) for name, figure in figures.items()]
    page = write_page(tmp_path / "page.html", "Title", [], [Part("A", pictures=pictures)]).read_text()
    plt.close("all")
    assert re.findall(r'<img( class="chart")? src="figures/(\w+)', page) == [
        (' class="chart"', "chart"),
        ("", "radiographs"),
    ]


def test_a_table_of_a_notebook_has_a_caption_numbers_to_the_right_and_no_index() -> None:
    frame = pd.DataFrame({"group_name": ["a", "b"], "rate": [0.49024, np.nan], "n": [10, 9], "ok": [True, False]})
    text = shown(frame, "Rates", {"rate": ".2f"}).to_html()
    cells = re.findall(r"<td[^>]*>(.*?)</td>", text)
    assert cells == ["a", "0.49", "10", "yes", "b", "\N{EN DASH}", "9", "no"]
    assert re.findall(r"<th [^>]*>(.*?)</th>", text) == ["group name", "rate", "n", "ok"]
    assert "<caption>Rates</caption>" in text and 'class="dataframe"' in text
    right = re.findall(r"\.col(\d) \{\s*text-align: right", text)
    assert right == ["1", "2"]
    assert shown(frame, "Rates", {"rate": ".2f"}).to_html() == text  # the same page each time
    named = shown(frame.set_index("group_name"), "Rates").to_html()
    assert re.findall(r"<th [^>]*>(.*?)</th>", named)[0] == "group name"
