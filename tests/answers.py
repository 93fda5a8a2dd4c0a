"""Tables of answers for tests of the analysis of reader studies."""

from __future__ import annotations

import numpy as np
import pandas as pd
import simulated_readers

READERS, QUESTIONS = 14, 6


def answers() -> pd.DataFrame:
    """Return a study with everything: traits, images shown again, times, and one repeated attempt."""
    rng = np.random.default_rng(5)
    rows = []
    for session in range(READERS + 1):
        reader = session % READERS  # the last attempt is the first reader's second
        radiologist = "yes" if reader % 2 else "no"
        for question in range(1, QUESTIONS + 1):
            real, synthetic = rng.integers(8, size=2)
            side, chosen = rng.choice(["left", "right"], 2)
            rows.append({
                "session": f"s{session:02d}", "reader": f"r{reader}", "question": question,
                "pair": f"{real}-{synthetic}", "left": "a", "right": "b", "real_side": side, "chosen_side": chosen,
                "correct": int(side == chosen), "seconds": round(float(rng.lognormal(2, 0.5)), 1),
                "confirmed_at": f"2026-01-01T{session:02d}:00:{question:02d}+00:00", "radiologist": radiologist,
                "board_certified": "" if reader % 2 == 0 else "yes" if reader % 4 == 1 else "no",
                "trainee": "" if reader % 2 == 0 else "no" if reader % 4 == 1 else "yes",
                "breast_specialist": "" if reader % 2 == 0 else "yes" if reader % 3 else "no",
                "screening": "", "years": reader if reader % 5 else "",
                "real_id": f"x{real}", "synthetic_id": f"y{synthetic}",
            })  # fmt: skip
    return pd.DataFrame(rows)


def differing_images(spread: float) -> pd.DataFrame:
    """Return a study of three columns and the images shown; images differ by `spread` in log odds."""
    y, shown = simulated_readers.Readers(images=spread, readers=80, pool=25).draw(np.random.default_rng(1))
    reader, question = np.indices(y.shape)
    columns = {"reader": reader, "question": question + 1, "correct": y, "real_id": shown}
    return pd.DataFrame({name: values.ravel() for name, values in columns.items()}).astype(str)
