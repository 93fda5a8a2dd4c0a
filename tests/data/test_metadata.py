"""Labels of pictures are looked up by the end of their path."""

from __future__ import annotations

from pathlib import Path

import pytest

from mammogan.data.metadata import Labels
from mammogan.errors import ParameterError, TableError


def test_labels_are_found_by_the_end_of_the_path(tmp_path: Path) -> None:
    rows = "file,view,age\nleft/a.png,CC,50\nright/a.png,MLO,60\nb,CC,70\nc.png,CC,-3\n./d.png,craniocaudal,x\n"
    (tmp_path / "t.csv").write_text(rows)
    labels = Labels([tmp_path / "t.csv"])
    assert labels.get(Path("/any/left/a.png")) == {"view": "CC", "age": 50}
    assert labels.get(Path("/any/right/a.png")) == {"view": "MLO", "age": 60}
    assert labels.get(Path("/any/a.png")) is None  # ambiguous
    assert labels.get(Path("/any/b.dcm")) == {"view": "CC", "age": 70}
    assert labels.get(Path("c.png")) == labels.get(Path("d.png")) == {"view": "CC"}
    with pytest.raises(TableError, match="no column view"):
        Labels([tmp_path / "t.csv"], {"view": "position"})
    with pytest.raises(ParameterError, match="no fact 'size'"):
        Labels([], {"size": "x"})
