"""The administrator's page: progress, closing and reopening, voids, and the table of answers."""

from __future__ import annotations

import base64
import csv
import io
import secrets
from pathlib import Path

from study import ABOUT, PASSWORD, answer, begin, blank_study, call, needs_viewer, served

pytestmark = needs_viewer


def login(password: str = PASSWORD) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"admin:{password}".encode()).decode()}


def test_progress_closing_voids_and_the_export(tmp_path: Path) -> None:
    study = blank_study(tmp_path / "study", pairs=2)
    with served(study.folder) as (address, _):
        assert call(address, "/admin/responses.csv", **login())[1].count("\n") == 1
        first = begin(address, tablet="AB12", screen="9 x 9, 2")
        second = begin(address)
        for question in (1, 2):
            answer(address, first["token"], question)
        answer(address, second["token"], 1, looked={"zoom": 2, "zooms": 1, "windows": 0, "changes": 0})
        page = call(address, "/admin", **login())[1]
        assert "The study is open." in page
        rows = [row for row in page.split("<tr>") if "S0000" in row]
        assert [name in rows[place] for place, name in enumerate(("S00002", "S00001"))] == [True, True]
        assert "<td>1 of 2</td>" in rows[0]
        assert "<td>under way</td>" in rows[0]
        assert "<td>AB12</td><td>9 x 9, 2</td>" in rows[1]
        assert "<td>complete</td>" in rows[1]
        # A closed study begins no session; those that have begun go on.
        assert call(address, "/admin/study", {"closed": True}, **login()) == (200, {})
        start = {"key": secrets.token_hex(16), "questionnaire": ABOUT, "reader": ""}
        for path, body in (("/api/sessions", start), ("/api/reservations", {"key": start["key"]})):
            status, reply = call(address, path, body)
            assert (status, reply["refused"]) == (403, "closed")
        assert answer(address, second["token"], 2)[0] == 200
        assert "The study is closed since" in call(address, "/admin", **login())[1]
        assert call(address, "/admin/study", {"closed": False}, **login()) == (200, {})
        assert call(address, "/api/sessions", start)[0] == 200
        # A void session leaves the table, and says why on the page.
        void = {"session": "S00001", "reason": "shown <to> a visitor"}
        assert call(address, "/admin/voids", void, **login()) == (200, {})
        assert "void: shown &lt;to&gt; a visitor" in call(address, "/admin", **login())[1]
        for body, status in ((void, 422), ({"session": "S00002", "reason": " "}, 422), ({"session": 2}, 422)):
            assert call(address, "/admin/voids", body, **login())[0] == status
        table = list(csv.DictReader(io.StringIO(call(address, "/admin/responses.csv", **login())[1])))
        assert [row["session"] for row in table] == ["S00002", "S00002"]
        assert [row["zoom"] for row in table] == ["2", ""]
        assert {row["complete"] for row in table} == {"yes"}
        assert all(row["started_at"] <= row["received_at"] for row in table)


def test_nobody_else_administers(tmp_path: Path) -> None:
    study = blank_study(tmp_path / "study", pairs=2)
    with served(study.folder) as (address, _):
        begin(address)
        void = {"session": "S00001", "reason": "x"}
        for path, body in (("/admin/study", {"closed": True}), ("/admin/voids", void), ("/admin/responses.csv", None)):
            assert call(address, path, body)[0] == 401
            assert call(address, path, body, **login("guess"))[0] == 401
            if body:  # a page of another origin, to which the browser would add the password
                assert call(address, path, body, **login(), origin="http://elsewhere.example")[0] == 403
        assert call(address, "/admin/study", b"closed=true", **login())[0] == 400
        assert call(address, "/admin/study", {"closed": "yes"}, **login())[0] == 422
        assert call(address, "/admin/admin.js")[0] == 200
        page = call(address, "/admin", **login())[1]
        assert "The study is open." in page
        assert "void:" not in page
