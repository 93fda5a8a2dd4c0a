"""Phantoms are recognized by their devices."""

from __future__ import annotations

import pandas as pd

from mammogan.data.phantom.patient import are_phantoms


def test_only_phantoms_may_be_shown() -> None:
    drawn = pd.DataFrame({"manufacturer": ["Phantom Imaging", "Specimen Works"]})
    assert are_phantoms(drawn)
    for other in ("Hologic", None):
        assert not are_phantoms(pd.concat([drawn, pd.DataFrame({"manufacturer": [other]})]))
