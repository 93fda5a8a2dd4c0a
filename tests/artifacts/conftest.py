"""Drawn breasts and their facts."""

from __future__ import annotations

import pandas as pd
import pytest
from breasts import breasts

from mammogan.artifacts.facts import facts_table
from mammogan.data.images import Images


@pytest.fixture(scope="package")
def population() -> Images:
    return breasts()


@pytest.fixture(scope="package")
def facts(population: Images) -> pd.DataFrame:
    return facts_table(population.pixels, 12)
