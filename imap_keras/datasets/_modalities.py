"""Simulated modalities of the same cells, with the truth each would have without noise and batch."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy.spatial.distance import pdist

SIZES = {"rna": 120, "protein": 40, "atac": 100}


def simulate_modalities(
    n_cells: int = 800,
    features: Mapping[str, int] | None = None,
    n_types: int = 4,
    n_batches: int = 1,
    n_states: int = 4,
    batch_strength: float = 0.5,
    noise: float = 0.5,
    seed: int = 0,
    blind: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, AnnData]:
    """Simulate several modalities of the same cells; values are like log-normalised ones.

    A cell is a point: the centre of its type plus continuous states of its own (say, its cycle).
    Each feature of each modality is a softplus of a weighted sum of that point, plus a shift of the
    batch and noise, cut off at 0. What one modality knows of the states can be found from another.

    Parameters
    ----------
    n_cells, n_types, n_batches, n_states
        Sizes. Types are ``type_0`` ..., batches ``batch_0`` ...
    features
        Number of features by modality; by default 120 ``rna``, 40 ``protein``, 100 ``atac``.
    batch_strength
        Standard deviation of a batch's shift of a feature; `batch_0` has none.
    noise
        Standard deviation of the noise.
    seed
        The same seed gives the same data.
    blind
        By modality, types that it cannot tell apart: ``{"rna": ["type_0", "type_1"]}`` makes the RNA
        of `type_1` like that of `type_0`, so that the split is visible in the others only.

    Returns
    -------
    dict of anndata.AnnData
        By modality, cells in the same order: ``X`` (dense, float32), ``layers["truth"]`` (no batch
        shift, no noise), ``obs["cell_type"]``, ``obs["batch"]``.

    Raises
    ------
    ValueError
        Fewer cells than types or batches; `blind` names an unknown modality or type.

    Examples
    --------
    >>> from imap_keras.datasets import simulate_modalities
    >>> {name: adata.shape for name, adata in simulate_modalities(50).items()}
    {'rna': (50, 120), 'protein': (50, 40), 'atac': (50, 100)}
    """
    if n_cells < max(n_types, n_batches):
        raise ValueError(f"n_cells={n_cells} is too few for {n_types} types and {n_batches} batches.")
    sizes, types = dict(features or SIZES), [f"type_{i}" for i in range(n_types)]
    _check_blind(blind or {}, sizes, types)
    rng = np.random.default_rng(seed)
    kind, batch = (rng.permutation(np.arange(n_cells) % n) for n in (n_types, n_batches))
    # Of many draws the one whose nearest types are farthest apart, or two types may be one.
    draws = rng.normal(0, 1.5, (50, n_types, n_states))
    centres = max(draws, key=lambda draw: pdist(draw).min(initial=np.inf))
    state = rng.normal(0, 0.8, (n_cells, n_states))
    obs = pd.DataFrame(
        {
            "batch": pd.Categorical.from_codes(batch, [f"batch_{i}" for i in range(n_batches)]),
            "cell_type": pd.Categorical.from_codes(kind, types),
        },
        index=[f"cell_{i}" for i in range(n_cells)],
    )
    modalities = {}
    for name, width in sizes.items():
        seen, alike = np.arange(n_types), [types.index(t) for t in (blind or {}).get(name, ())]
        seen[alike] = alike[:1]
        point = centres[seen[kind]] + state
        weights = rng.normal(0, 0.7, (n_states, width))
        truth = np.logaddexp(0, point @ weights + rng.normal(0.5, 0.5, width))  # softplus
        shift = rng.normal(0, batch_strength, (n_batches, width))
        shift[0] = 0
        measured = truth + shift[batch] + rng.normal(0, noise, truth.shape)
        modalities[name] = AnnData(
            np.maximum(measured, 0).astype("float32"),
            obs=obs.copy(),
            var=pd.DataFrame(index=[f"{name}_{i}" for i in range(width)]),
            layers={"truth": truth.astype("float32")},
        )
    return modalities


def _check_blind(blind: Mapping[str, Sequence[str]], modalities, types: Sequence[str]) -> None:
    for name, alike in blind.items():
        unknown = [name] * (name not in modalities) + [t for t in alike if t not in types]
        if unknown:
            raise ValueError(
                f"blind names {', '.join(map(repr, unknown))}; modalities are {list(modalities)}, "
                f"types are {list(types)}."
            )
