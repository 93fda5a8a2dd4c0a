"""Formulas of the pages."""

from __future__ import annotations

import mathematics
from book_fixtures import ROOT


def test_formulas_are_typeset_without_a_page_loading_anything() -> None:
    class App:
        srcdir = ROOT

    typesetter = mathematics.Typesetter(App())
    try:
        svg = typesetter.svg("x^2", False)
        assert svg.startswith("<svg") and "http" not in svg.replace("http://www.w3.org", "")
        assert typesetter.svg("x^2", False) is svg
    finally:
        typesetter.stop()
