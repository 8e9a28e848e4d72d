"""The classifier and what its training needs: the split by donor, the schedule."""

from collections.abc import Sequence

import keras
import numpy as np

from ..nn.blocks import LayerSeeds


def build_region_classifier(
    n_genes: int,
    n_regions: int,
    hidden: Sequence[int] = (500, 500, 500),
    dropout: float = 0.1,
    seed: int = 0,
    dropped: str = "units",
) -> keras.Model:
    """Build the classifier, genes -> 500 -> 500 -> 500 -> one score per region.

    ReLU and dropout follow the hidden layers; the output is linear (logits). The layer named
    ``embedding`` is the last hidden one, before its dropout.

    Parameters
    ----------
    n_genes, n_regions
        Width of the input and of the output.
    hidden
        Widths of the hidden layers.
    dropout
        Share dropped in training.
    seed
        Of starting weights and dropout.
    dropped
        ``"units"`` after every hidden layer, or whole ``"rows"`` after the last one, see
        :class:`imap_keras.regions.Hyperparameters`.

    Returns
    -------
    keras.Model
        Rows x genes in, rows x regions out.

    References
    ----------
    TransBrain, https://doi.org/10.1038/s41592-025-02961-3, Methods.

    Examples
    --------
    >>> from imap_keras.regions import build_region_classifier
    >>> build_region_classifier(4542, 105).count_params()
    2825105
    """
    seeds = LayerSeeds(seed)
    inner = expression = keras.Input((n_genes,), name="expression")
    for i, units in enumerate(hidden, start=1):
        name = "embedding" if i == len(hidden) else f"hidden_{i}"
        inner = seeds.dense(units, name, "relu")(inner)
        if name == "embedding" or dropped == "units":
            mask = (None, 1) if dropped == "rows" else None  # one draw per row, or one per unit
            inner = seeds.dropout(dropout, f"dropout_{i}", mask)(inner)
    return keras.Model(expression, seeds.dense(n_regions, "scores")(inner), name="region_classifier")


def hold_out_donors(
    regions: Sequence[str], donors: Sequence[str], share: float = 0.1, seed: int = 0
) -> np.ndarray:
    """Mark the validation rows: in each region all rows of a tenth of its donors.

    Rows of one donor's region resemble each other beyond the region (the same piece of tissue). Split
    at random, some of a piece would train and some validate, and the accuracy would flatter.

    Parameters
    ----------
    regions, donors
        Region and donor of each row.
    share
        Share of the donors of a region to hold out, rounded, at least one.
    seed
        Of the choice.

    Returns
    -------
    numpy.ndarray
        Rows, True where a row validates.

    Raises
    ------
    ValueError
        `share` is not between 0 and 1, or a region has too few donors to train and to validate.

    Examples
    --------
    >>> from imap_keras.regions import hold_out_donors
    >>> hold_out_donors(["A", "A", "A", "A"], ["x", "x", "y", "y"], share=0.5).sum().item()
    2
    """
    regions, donors = np.asarray(regions), np.asarray(donors)
    rng, held_out = np.random.default_rng(seed), np.zeros(len(regions), bool)
    for region in np.unique(regions):
        own = np.unique(donors[regions == region])
        chosen = rng.choice(own, donors_to_hold(region, own, share), replace=False)
        held_out |= (regions == region) & np.isin(donors, chosen)
    return held_out


def donors_to_hold(region: str, donors: Sequence[str], share: float) -> int:
    """Number of a region's donors to hold out: their share, rounded, at least one.

    Raises
    ------
    ValueError
        `share` is not between 0 and 1, or no donor would be left to train.

    Examples
    --------
    >>> from imap_keras.regions import donors_to_hold
    >>> donors_to_hold("CA1", ["a", "b", "c", "d"], share=0.5)
    2
    """
    if not 0 < share < 1:
        raise ValueError(f"share={share} must lie between 0 and 1, for example 0.1.")
    n_held = max(1, round(share * len(donors)))
    if len(donors) <= n_held:
        raise ValueError(
            f"Region {str(region)!r} has rows of {len(donors)} donor(s) "
            f"({', '.join(map(str, donors))}), the split needs at least {n_held + 1}: "
            f"{n_held} to validate, the rest to train. Leave the region out or merge it with another."
        )
    return n_held


def step_schedule(
    epoch: int, learning_rate: float = 6e-5, decay: float = 0.8, every: int = 20
) -> float:
    """Learning rate of an epoch (the first is 0): times 0.8 every 20 epochs.

    Examples
    --------
    >>> from imap_keras.regions import step_schedule
    >>> [round(step_schedule(epoch) * 1e5, 2) for epoch in (0, 19, 20, 40)]
    [6.0, 6.0, 4.8, 3.84]
    """
    return learning_rate * decay ** (epoch // every)
