"""A classifier on the latent code, as scANVI has one: labels of a query without its neighbours."""

import warnings

import keras
import numpy as np
import tensorflow as tf
from anndata import AnnData

from ..inputs.labels import coded, is_empty, obs_column
from ..nn.blocks import LayerSeeds

CLASSIFIER = "classifier"
UNLABELLED = -1


def label_codes(
    adata: AnnData, label_key: str | None, label_weight: float, unlabelled: str = "Unknown"
) -> tuple[list[str], np.ndarray | None]:
    """Names of the labels, and the number of each cell's label among them, -1 for none.

    Parameters
    ----------
    adata
        Cells x genes.
    label_key
        Column of ``adata.obs``; empty (NaN, no text) for cells without a label.
    label_weight
        Weight of the classifier's loss; with 0 there is no classifier, and no label is read.
    unlabelled
        What the column says of a cell without a label.

    Raises
    ------
    TypeError, KeyError
        `label_key` names no column, or several.
    ValueError
        A column without a weight or a weight without a column; no label or one label alone.

    Examples
    --------
    >>> import imap_keras
    >>> from imap_keras.scarches.classifier import label_codes
    >>> adata = imap_keras.datasets.simulate(n_cells=4, n_genes=20, n_batches=1, n_types=2)
    >>> adata.obs["label"] = ["T", "B", "Unknown", None]
    >>> names, codes = label_codes(adata, "label", label_weight=50.0)
    >>> names, codes.tolist()
    (['B', 'T'], [1, 0, -1, -1])
    """
    if label_key is None and not label_weight:
        return [], None
    if label_key is None:
        raise ValueError(
            f"label_weight={label_weight} trains a classifier, which needs labels: give label_key, or "
            "leave label_weight at 0."
        )
    if not label_weight:
        raise ValueError(
            f"label_key={label_key!r} is given, but label_weight=0 trains no classifier; give "
            "label_weight a number above 0 (scANVI's is 50), or leave label_key out."
        )
    column = obs_column(adata.obs, label_key, "label_key")
    said = column.astype(object)
    # -1.0 is -1 as a number only, and -1 is "-1" as text only.
    unsaid = (said.isin([unlabelled]) | (said.astype(str) == str(unlabelled))).to_numpy(bool)
    labelled = ~(is_empty(column) | unsaid)
    names, codes = coded(column[labelled])
    if len(names) < 2:
        held = f"one label alone, {names[0]!r}" if names else "no label"
        raise ValueError(
            f"adata.obs[{label_key!r}] holds {held} ({np.sum(~labelled)} of {len(column)} cells are "
            f"empty or {unlabelled!r}); a classifier needs two or more. Leave label_weight at 0, or "
            "give another column."
        )
    numbers = np.full(len(column), UNLABELLED, "int32")
    numbers[labelled] = codes
    return names, numbers


def tell_of_lost(every: list[str], drawn: list[str], pool_size: int) -> None:
    """Warn of labels that no cell has of those that are trained on.

    Warns
    -----
    UserWarning
        Names the labels, and what to do.

    Examples
    --------
    >>> from imap_keras.scarches.classifier import tell_of_lost
    >>> tell_of_lost(["B", "T"], ["B", "T"], 10_000)
    """
    lost = sorted(set(every) - set(drawn))
    if lost:
        warnings.warn(
            f"No cell of {', '.join(map(repr, lost))} is among the at most {pool_size} of a batch that "
            "are trained on, so the classifier does not know it. Raise pool_size, or hand in fewer "
            "cells of the other labels.",
            stacklevel=4,
        )


def build_classifier(latent_dim: int, n_labels: int, seed: int = 0) -> keras.Model:
    """Build the classifier: one dense layer from the latent code to a logit for each label.

    Parameters
    ----------
    latent_dim, n_labels
        Widths of input and output.
    seed
        Seed of the starting weights.

    References
    ----------
    Xu et al., Molecular Systems Biology 17:e9620 (2021); its classifier without hidden layers, and
    without its second latent code.

    Examples
    --------
    >>> from imap_keras.scarches.classifier import build_classifier
    >>> build_classifier(10, 3).count_params()
    33
    """
    code = keras.Input((latent_dim,), name="code")
    logits = LayerSeeds(seed).dense(n_labels, "label_logits")(code)
    return keras.Model(code, logits, name=CLASSIFIER)


def cross_entropy(logits, codes):
    """Mean of ``-log softmax(logits)[code]`` over the rows that have a label; 0 where none has.

    Parameters
    ----------
    logits, codes
        Rows x labels; number of each row's label, -1 for none.

    Examples
    --------
    >>> import tensorflow as tf
    >>> from imap_keras.scarches.classifier import cross_entropy
    >>> round(float(cross_entropy(tf.zeros((3, 2)), tf.constant([0, 1, -1]))), 3)
    0.693
    """
    labelled = tf.cast(codes >= 0, tf.float32)
    rows = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.maximum(codes, 0), logits)
    return tf.reduce_sum(labelled * rows) / tf.maximum(tf.reduce_sum(labelled), 1.0)
