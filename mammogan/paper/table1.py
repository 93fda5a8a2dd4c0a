"""Which definition of the score can give the printed Table 1? Simulated moments, scored by every candidate definition.

The text defines the score in no way that a reader could compute. What the printed numbers show is a pattern: each
off-diagonal entry exceeds the smaller of its two diagonal entries. Data processing forbids that to any score that falls
with an f-divergence or with the information about the label: what two moments tell, one of them alone cannot exceed.
Here populations of moments are drawn, some with the separations that Table 2 prints, and every definition is asked for
the pattern.
"""

from __future__ import annotations

from itertools import combinations_with_replacement, product

import numpy as np
import pandas as pd
from scipy import integrate, optimize, stats

from mammogan.metrics.density import Grid, density, jensen_shannon, normalized_mutual_information, overlap
from mammogan.metrics.information import MAXIMUM, mutual_information
from mammogan.metrics.moments import PAIRS
from mammogan.paper.printed import TABLE1, TABLE2_INFORMATION
from mammogan.paper.table2 import chance_information


def excess_over_diagonal() -> np.ndarray:
    """By how much each off-diagonal entry of Table 1 exceeds the smaller of its two diagonal entries; (10,).

    A score of overlap cannot rise when a second moment is looked at too, if it obeys the data-processing inequality:
    what two moments together tell about the label is at least what each tells alone. Positive numbers break it.
    """
    diagonal = np.diag(TABLE1)
    return np.array([TABLE1[i, j] - min(diagonal[i], diagonal[j]) for i, j in PAIRS])


BINS = 20  # a side, of the scores on common bins
GRID = 100
# Correlations of the latent normal scores of M1 to M5: mammograms have bright images with short tails, and the shape
# moments go together. An assumption; the printed tables say nothing about it.
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


def _on_bins(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both samples on one histogram, as probabilities; that of one moment is the marginal of that of two."""
    pooled = np.concatenate([a, b])
    limits = zip(pooled.min(0), pooled.max(0), strict=True)
    edges = [np.linspace(low, high + 1e-9 * (high - low) + 1e-12, BINS + 1) for low, high in limits]
    return tuple(np.histogramdd(x, edges)[0] / len(x) for x in (a, b))  # type: ignore[return-value]


def definitions(a: np.ndarray, b: np.ndarray, same: bool) -> dict[str, float]:
    """Scores of one cell of Table 1 by every candidate definition.

    Args:
        a, b: (n, 2) a pair of moments of real and of synthetic images.
        same: the pair is one moment twice, a diagonal cell. The kernel densities are still taken in two dimensions, as
            the paper must have done; bins and nearest neighbors use the one dimension that there is.
    """
    grid = Grid.around(a, b, count=GRID)
    p, q = density(a, grid), density(b, grid)
    divergence = jensen_shannon(p, q)
    if same:
        a, b = a[:, :1], b[:, :1]
    scale = np.concatenate([a, b]).std(0)
    scale[scale == 0] = 1
    first, second = _on_bins(a, b)
    return {
        "1 - sqrt(JSD), kernels": 1 - np.sqrt(divergence),
        "1 - JSD, kernels": 1 - divergence,
        "overlap, kernels": overlap(p, q),
        "NMI of density pictures": normalized_mutual_information(p, q),
        "1 - I(label) / ln 2": 1 - mutual_information(a / scale, b / scale).information / MAXIMUM,
        "1 - JSD, common bins": 1 - jensen_shannon(first.ravel(), second.ravel()),
        "1 - sqrt(JSD), common bins": 1 - np.sqrt(jensen_shannon(first.ravel(), second.ravel())),
        "overlap, common bins": overlap(first, second),
    }


# Whether data processing binds the definition: no cell may exceed the smaller of its diagonal cells, but for chance.
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


def information_of_shift(shift: float) -> float:
    """Information, nats, between the label and a value from N(0, 1) or N(shift, 1), each with probability 1/2."""

    def integrand(x: float) -> float:
        p, q = np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi), np.exp(-((x - shift) ** 2) / 2) / np.sqrt(2 * np.pi)
        middle = (p + q) / 2
        return sum(0.5 * y * np.log(y / middle) for y in (p, q) if y > 0)

    return float(integrate.quad(integrand, -9, 9 + shift)[0])


def shift_of_information(information: float) -> float:
    """Shift of a unit normal that carries so much information about the label; 0 for 0 or less.

    Raises:
        ValueError: ln 2 or more, which no shift carries.
    """
    if information >= MAXIMUM:
        raise ValueError(f"Information of {information} with a binary label cannot be; its maximum is ln 2.")
    if information <= 0:
        return 0.0
    return float(optimize.brentq(lambda shift: information_of_shift(shift) - information, 0, 12))


def shifts_of_table2(noise: float = 0.0) -> np.ndarray:
    """Shifts of the five moments that carry the information that Table 2 prints, in standard deviations; (5,).

    The table says nothing about directions, and they are not free: moments that go together in every image cannot move
    apart without making every image tell. Of all shifts that agree with the table, those of the smallest Mahalanobis
    distance by `CORRELATION` are taken: the smallest difference of the two populations that the table allows.

    Args:
        noise: standard deviation of the printed values; each may be off by 1.96 of it. 0 takes them as they stand.
    """
    reach = stats.norm.ppf(0.975) * noise
    bounds = [
        tuple(shift_of_information(value) for value in (printed - reach, printed + reach))
        for printed in TABLE2_INFORMATION
    ]
    inverse = np.linalg.inv(CORRELATION)
    found = []
    for signs in product((1, -1), repeat=len(bounds) - 1):
        sign = np.array([1, *signs])  # a mirror image of all five is the same
        limits = [(low, high) if s > 0 else (-high, -low) for s, (low, high) in zip(sign, bounds, strict=True)]
        start = np.array(limits).mean(1)
        best = optimize.minimize(lambda x: x @ inverse @ x, start, jac=lambda x: 2 * inverse @ x, bounds=limits)
        found.append((float(best.fun), tuple(best.x)))
    return np.array(min(found)[1])


def draw_moments(
    n: int, shift: np.ndarray, scale: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Moments of n real and n synthetic images, (n, 5) each.

    Normal scores with `CORRELATION`; the synthetic ones are shifted and scaled. Then each is exp(TAILS * score): the
    information with the label does not depend on that, as on no monotone change of a moment; kernel scores do.

    Args:
        n: images a set.
        shift, scale: (5,) of the synthetic set, in standard deviations of the real one.
        rng: where chance comes from.
    """
    factor = np.linalg.cholesky(CORRELATION)
    real, other = (rng.standard_normal((n, 5)) @ factor.T for _ in range(2))
    return np.exp(TAILS * real), np.exp(TAILS * (shift + scale * other))


def simulate(*, n: int = 1000, scenarios: int = 12, seed: int = 0) -> pd.DataFrame:
    """Table 1 by every definition for simulated populations.

    Scenario "identical" has two sets of one distribution, which gives the ceiling. "Table 2" has the separations of the
    moments that Table 2 prints, by the smallest shifts that agree with it (`shifts_of_table2`), and "Table 2, within
    noise" those that agree within what chance does to the printed values. The others have random shifts (to .8
    standard deviations) and spreads (0.7 to 1.4).

    Args:
        n: images a set; 1000 in the paper.
        scenarios: at least 3.
        seed: of everything.

    Returns:
        one row a scenario and definition: scenario, definition, bound (by data processing), above (of ten pairs, how
        many exceed the smaller diagonal cell), least and most (excess), low and high (of all 15 cells), rmse and
        spearman against the printed cells.

    Raises:
        ValueError: fewer than three scenarios.
    """
    if scenarios < 3:
        raise ValueError('Three scenarios or more are needed: "identical", "Table 2", and that within noise.')
    rng = np.random.default_rng(seed)
    cells = list(combinations_with_replacement(range(5), 2))
    printed = np.array([TABLE1[i, j] for i, j in cells])
    unity = np.ones(5)
    populations = {
        "identical": (np.zeros(5), unity),
        "Table 2": (shifts_of_table2(), unity),
        "Table 2, within noise": (shifts_of_table2(chance_information(n, 100, seed)["sd"].iloc[0]), unity),
    }
    for number in range(scenarios - len(populations)):
        spread = np.exp(rng.uniform(np.log(0.7), np.log(1.4), 5))
        populations[f"random {number + 1}"] = (rng.uniform(-0.8, 0.8, 5), spread)
    rows = []
    for name, (shift, scale) in populations.items():
        a, b = draw_moments(n, shift, scale, rng)
        found = [definitions(a[:, [i, j]], b[:, [i, j]], i == j) for i, j in cells]
        for definition, bound in BOUND.items():
            values = np.array([cell[definition] for cell in found])
            table = dict(zip(cells, values, strict=True))
            excess = np.array([table[i, j] - min(table[i, i], table[j, j]) for i, j in PAIRS])
            rows.append(
                {
                    "scenario": name,
                    "definition": definition,
                    "bound": bound,
                    "above": int((excess > 1e-12).sum()),
                    "least": float(excess.min()),
                    "most": float(excess.max()),
                    "low": float(values.min()),
                    "high": float(values.max()),
                    "rmse": float(np.sqrt(np.mean((values - printed) ** 2))),
                    "spearman": float(stats.spearmanr(values, printed).statistic) if np.ptp(values) else 0.0,
                }
            )
    return pd.DataFrame(rows)


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """One row a definition: can it give the pattern, how near does it come, and what is its ceiling.

    Args:
        table: of `simulate`.

    Returns:
        definition, bound, most_above (of ten, in the best scenario), full (share of scenarios with all ten), rmse (of
        the best scenario), ceiling_low and ceiling_high (cells of the scenario "identical").
    """
    different = table[table["scenario"] != "identical"].groupby("definition", sort=False)
    found = different.agg(
        bound=("bound", "first"),
        most_above=("above", "max"),
        full=("above", lambda above: float((above == len(PAIRS)).mean())),
        rmse=("rmse", "min"),
    )
    same = table[table["scenario"] == "identical"].set_index("definition")
    return found.assign(ceiling_low=same["low"], ceiling_high=same["high"]).reset_index()
