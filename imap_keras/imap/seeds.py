"""One seed, many streams: every random part of a fit has numbers of its own."""

import numpy as np

from .hyperparameters import Hyperparameters

# Streams of random numbers: every random part has a seed of its own, all following from one.
STREAMS = (
    "stage1_weights",
    "stage1_rows",
    "stage1_recalibration",
    "pair_sample_query",
    "pair_sample_anchor",
    "annoy",
    "walks",
    "stage2_weights",
    "stage2_interpolation",
    "stage2_rows",
    "stage2_recalibration",
    "pair_space",
    "components",
    "pool",
    "searched",
    "gene_chunks",
    "stage2_held_out",
    "component_signs",
)


def seed_of(stream: str, hp: Hyperparameters, number: int = 0) -> int:
    """Seed of one random part (see `STREAMS`) for one query batch."""
    sequence = np.random.SeedSequence((hp.seed, STREAMS.index(stream), number))
    return int(sequence.generate_state(1)[0] % 2**30)


def sample_cells(
    cells: np.ndarray, stream: str, hp: Hyperparameters, number: int = 0, most: int | None = None
) -> np.ndarray:
    """At most so many of the given cell indices, in order: `most`, or else `n_samples`."""
    most = most or hp.n_samples
    if len(cells) <= most:
        return cells
    rng = np.random.default_rng(seed_of(stream, hp, number))
    return np.sort(rng.choice(cells, most, replace=False))
