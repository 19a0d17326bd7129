"""Write a large table for trials: python showcase/make_big_table.py big.parquet --rows 10000000.

It has 30 columns: 23 of numbers (normal, heavy-tailed and whole), five of texts with 3 to 5,000 levels, one of
timestamps, and the target `y`, which depends on a few of the others.
"""

import argparse
from pathlib import Path

import numpy as np
import polars as pl

from litmlp.files import replacing


def big_table(num_rows: int, seed: int = 0) -> pl.DataFrame:
    """Return the table."""
    generator = np.random.default_rng(seed)
    columns: dict[str, np.ndarray | pl.Series] = {}
    for i in range(12):
        columns[f"normal_{i}"] = generator.standard_normal(num_rows)
    for i in range(6):
        columns[f"amount_{i}"] = generator.lognormal(size=num_rows)
    for i in range(5):
        columns[f"count_{i}"] = generator.poisson(20, num_rows)
    for i, num_levels in enumerate((3, 10, 100, 1000, 5000)):
        levels = pl.Series([f"level {level}" for level in range(num_levels)])
        columns[f"level_{i}"] = levels.gather(generator.integers(0, num_levels, num_rows))
    seconds = generator.integers(1_500_000_000, 1_600_000_000, num_rows)
    columns["moment"] = pl.Series(seconds * 1000).cast(pl.Datetime("ms"))
    signal = columns["normal_0"] + columns["normal_1"] * columns["normal_2"] + np.log(columns["amount_0"])
    columns["y"] = signal + generator.standard_normal(num_rows)
    return pl.DataFrame(columns)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path)
    parser.add_argument("--rows", type=int, default=10_000_000)
    given = parser.parse_args()
    with replacing(given.path) as temporary:
        big_table(given.rows).write_parquet(temporary)
    print(f"{given.path}: {given.rows} rows, {given.path.stat().st_size / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
