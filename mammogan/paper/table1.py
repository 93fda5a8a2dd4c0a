"""Definitions of a score that can give the printed Table 1, and those that cannot, by simulation.

The text does not define the score well enough to compute it. The printed numbers show a pattern: each off-diagonal
entry exceeds the smaller of its two diagonal entries. Data processing forbids that to any score that falls with an
f-divergence or with the information about the label: one of two moments cannot tell more than both together. Here
populations of moments are drawn, some with the separations that Table 2 prints, and scored by every definition.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
from scipy import integrate, optimize, stats

from mammogan.errors import ParameterError
from mammogan.metrics.density import Grid, density, jensen_shannon, normalized_mutual_information, overlap
from mammogan.metrics.information import MAXIMUM, mutual_information
from mammogan.metrics.moments import PAIRS
from mammogan.paper.printed import TABLE1, TABLE2_INFORMATION
from mammogan.paper.table2 import chance_information

BINS = 20  # per side, of the scores on common bins
GRID = 100
CELLS = np.triu_indices(5)
# Correlations of the latent normal scores of M1 to M5: mammograms have bright images with short tails, and the shape
# moments are correlated. An assumption; the printed tables say nothing about it.
CORRELATION = np.array(
    [
        [1.0, 0.6, -0.7, -0.7, -0.7],
        [0.6, 1.0, -0.2, -0.3, -0.3],
        [-0.7, -0.2, 1.0, 0.95, 0.95],
        [-0.7, -0.3, 0.95, 1.0, 0.98],
        [-0.7, -0.3, 0.95, 0.98, 1.0],
    ]
)
TAILS = np.array([0.3, 0.3, 0.4, 0.6, 0.9])  # log-normal spread of each moment: M5's tail is the longest
# Whether data processing binds a definition: no cell may exceed the smaller of its diagonal cells, except by chance.
BOUND = {
    "1 - sqrt(JSD), kernels": False,
    "1 - JSD, kernels": False,
    "overlap, kernels": False,
    "NMI of density pictures": False,
    "1 - I(label) / ln 2": True,
    "1 - JSD, common bins": True,
    "1 - sqrt(JSD), common bins": True,
    "overlap, common bins": True,
}


def excess_over_diagonal(table: np.ndarray = TABLE1) -> np.ndarray:
    """Return the excess of each off-diagonal entry over the smaller of its two diagonal entries; (10,).

    A score of overlap that obeys the data-processing inequality does not rise when a second moment is added: two
    moments together tell at least as much about the label as each alone. Positive numbers break it.
    """
    diagonal = np.diag(table)
    return np.array([table[i, j] - min(diagonal[i], diagonal[j]) for i, j in PAIRS])


def definitions(a: np.ndarray, b: np.ndarray, same: bool) -> dict[str, float]:
    """Return the score of one cell of Table 1 by every definition of `BOUND`.

    Args:
        a, b: (n, 2) a pair of moments of real and of synthetic images.
        same: the pair is one moment twice, a diagonal cell. Kernel densities still have two dimensions, as they must
            have in the paper; bins and nearest neighbors use the one dimension that there is.
    """
    grid = Grid.around(a, b, count=GRID)
    p, q = density(a, grid), density(b, grid)
    scores = {"NMI of density pictures": normalized_mutual_information(p, q)}
    if same:
        a, b = a[:, :1], b[:, :1]
    both = np.concatenate([a, b])
    scale = both.std(0)
    scale[scale == 0] = 1
    # One histogram of both samples: that of one moment is the marginal of that of two.
    limits = zip(both.min(0), both.max(0), strict=True)
    edges = [np.linspace(low, high + 1e-9 * (high - low) + 1e-12, BINS + 1) for low, high in limits]
    first, second = (np.histogramdd(x, edges)[0].ravel() / len(x) for x in (a, b))
    scores["1 - I(label) / ln 2"] = 1 - mutual_information(a / scale, b / scale).information / MAXIMUM
    for means, x, y in (("kernels", p, q), ("common bins", first, second)):
        divergence = jensen_shannon(x, y)
        scores |= {f"1 - sqrt(JSD), {means}": 1 - np.sqrt(divergence), f"1 - JSD, {means}": 1 - divergence}
        scores[f"overlap, {means}"] = overlap(x, y)
    return scores


def information_of_shift(shift: float) -> float:
    """Return the information, nats, between the label and a value of N(0, 1) or N(shift, 1), with probability 1/2."""

    def integrand(x: float) -> float:
        p, q = (np.exp(-((x - mean) ** 2) / 2) / np.sqrt(2 * np.pi) for mean in (0, shift))
        middle = (p + q) / 2
        return sum(0.5 * y * np.log(y / middle) for y in (p, q) if y > 0)

    return float(integrate.quad(integrand, -9, 9 + shift)[0])


def shift_of_information(information: float) -> float:
    """Return the shift of a unit normal with this information about the label; 0 for 0 or less.

    Raises:
        ParameterError: the information is ln 2 or more, which no shift has.
    """
    if information >= MAXIMUM:
        raise ParameterError(f"Information of {information} with a binary label is impossible; its maximum is ln 2.")
    if information <= 0:
        return 0.0
    return float(optimize.brentq(lambda shift: information_of_shift(shift) - information, 0, 12))


def shifts_of_table2(noise: float = 0.0) -> np.ndarray:
    """Return shifts of the five moments that have the information of Table 2, in standard deviations; (5,).

    The table says nothing about directions, and they are not free: moments that are correlated in every image cannot
    move apart without making every image tell. Of all shifts that agree with the table, those of the smallest
    Mahalanobis distance by `CORRELATION` are returned: the smallest difference of the populations that it allows.

    Args:
        noise: standard deviation of the printed values; each may be off by 1.96 of it. 0 for none.
    """
    reach = stats.norm.ppf(0.975) * noise
    bounds = [[shift_of_information(value + side) for side in (-reach, reach)] for value in TABLE2_INFORMATION]
    inverse = np.linalg.inv(CORRELATION)
    minima = []
    for signs in product((1, -1), repeat=len(bounds) - 1):  # a mirror image of all five is the same
        limits = [(low, high) if s > 0 else (-high, -low) for s, (low, high) in zip((1, *signs), bounds, strict=True)]
        start = np.array(limits).mean(1)
        best = optimize.minimize(lambda x: x @ inverse @ x, start, jac=lambda x: 2 * inverse @ x, bounds=limits)
        minima.append((float(best.fun), tuple(best.x)))
    return np.array(min(minima)[1])


def simulate(*, n: int = 1000, scenarios: int = 12, seed: int = 0) -> pd.DataFrame:
    """Compute Table 1 by every definition for simulated populations.

    Scenario "identical" has two sets of one distribution, which gives the ceiling. "Table 2" has the separations of the
    moments that Table 2 prints (`shifts_of_table2`), and "Table 2, within noise" those that agree within what chance
    does to the printed values. The others have random shifts (to .8 standard deviations) and spreads (0.7 to 1.4).

    Args:
        n: images per set; 1000 in the paper.
        scenarios: at least 3.
        seed: random seed.

    Returns:
        One row per scenario and definition: scenario, definition, bound (by data processing), above (pairs of ten that
        exceed the smaller diagonal cell), least and most (excess), low and high (of all 15 cells), rmse and spearman
        against the printed cells.

    Raises:
        ParameterError: there are fewer than three scenarios.
    """
    if scenarios < 3:
        raise ParameterError(f"{scenarios} scenarios are too few; choose 3 or more.")
    rng = np.random.default_rng(seed)
    noise, unity = chance_information(n, 100, seed)["sd"].iloc[0], np.ones(5)
    populations = {
        "identical": (np.zeros(5), unity),
        "Table 2": (shifts_of_table2(), unity),
        "Table 2, within noise": (shifts_of_table2(noise), unity),
    }
    for number in range(1, scenarios - len(populations) + 1):
        spread = np.exp(rng.uniform(np.log(0.7), np.log(1.4), 5))
        populations[f"random {number}"] = (rng.uniform(-0.8, 0.8, 5), spread)
    factor = np.linalg.cholesky(CORRELATION)
    rows = []
    for name, (shift, scale) in populations.items():
        # Moments (n, 5) are exp(TAILS * score) of normal scores; those of the synthetic set are shifted and scaled. A
        # monotone change of a moment does not change its information about the label; it does change kernel scores.
        real, other = (rng.standard_normal((n, 5)) @ factor.T for _ in range(2))
        a, b = np.exp(TAILS * real), np.exp(TAILS * (shift + scale * other))
        cells = pd.DataFrame([definitions(a[:, [i, j]], b[:, [i, j]], i == j) for i, j in zip(*CELLS, strict=True)])
        for definition, bound in BOUND.items():
            row = {"scenario": name, "definition": definition, "bound": bound}
            rows.append(row | _pattern(cells[definition].to_numpy()))
    return pd.DataFrame(rows)


def _pattern(cells: np.ndarray) -> dict[str, float]:
    """Return the columns from `above` on of a row of `simulate`, from the 15 cells of a table."""
    printed, table = TABLE1[CELLS], np.zeros((5, 5))
    table[CELLS] = cells
    excess = excess_over_diagonal(table)
    return {
        "above": int((excess > 1e-12).sum()),
        "least": excess.min(),
        "most": excess.max(),
        "low": cells.min(),
        "high": cells.max(),
        "rmse": np.sqrt(np.mean((cells - printed) ** 2)),
        "spearman": stats.spearmanr(cells, printed).statistic if np.ptp(cells) else 0.0,
    }


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Summarize the rows of `simulate` of each definition.

    Returns:
        One row per definition: definition, bound, most_above (of ten, in the best scenario), full (share of scenarios
        with all ten), rmse (of the best scenario), ceiling_low and ceiling_high (cells of the scenario "identical").
    """
    different = table[table["scenario"] != "identical"].groupby("definition", sort=False)
    rows = different.agg(
        bound=("bound", "first"),
        most_above=("above", "max"),
        full=("above", lambda above: float((above == len(PAIRS)).mean())),
        rmse=("rmse", "min"),
    )
    same = table[table["scenario"] == "identical"].set_index("definition")
    return rows.assign(ceiling_low=same["low"], ceiling_high=same["high"]).reset_index()
