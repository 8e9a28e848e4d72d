"""Which genes: expected gradients of a classifier head on the frozen content code, or on the genes.

The paper asks its networks which genes make a cell type and which make a platform (Wang et al. 2021,
"interpretation"). For types a small head is trained on E(x), which stays as it is; for platforms, or
any other groups, the same head reads the genes themselves. Both are then asked gene by gene, with
expected gradients (Erion et al., Nature Machine Intelligence 3:620, 2021).
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from anndata import AnnData
from sklearn.metrics import balanced_accuracy_score
from tqdm import tqdm

from ..inputs.expression import check_expression
from ..inputs.genes import check_unique_names, with_genes
from ..inputs.labels import coded, labels_of
from ..inputs.moments import group_sums
from ..inputs.recipe import compare_recipes, recipe_of
from ..inputs.values import in_memory
from ..nn.blocks import Initializers
from ..nn.fitting import run
from ..nn.rows import hold_out, steps_of
from .head import ImportanceParameters, build_head, train_head
from .model import IMAP
from .pool import Pool

LARGEST_GAP = 0.1  # of the range of the logit: beyond, more samples are needed
KNOWS_LITTLE = 0.25  # of the way from chance to no error


def path_gradients(network: keras.Model, cells, others, place, classes):
    """``(x - x') df_c/dx`` at the point ``x' + a (x - x')`` between a cell and one of the background.

    Parameters
    ----------
    network
        Cells x genes -> cells x groups (logits f).
    cells, others
        x and x', cells x genes.
    place
        a in [0, 1], cells x 1.
    classes
        c, the group whose logit is explained, by cell.

    Returns
    -------
    tf.Tensor
        Cells x genes.

    Examples
    --------
    >>> import keras, numpy as np, tensorflow as tf
    >>> from imap_keras.imap.importance import path_gradients
    >>> line = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, kernel_initializer="ones")])
    >>> one, none, half = tf.ones((1, 2)), tf.zeros((1, 2)), tf.constant([[0.5]])
    >>> path_gradients(line, one, none, half, tf.constant([0])).numpy().tolist()
    [[1.0, 1.0]]
    """
    away = tf.subtract(cells, others)
    point = others + place * away
    with tf.GradientTape() as tape:
        tape.watch(point)
        logit = tf.gather(network(point, training=False), classes, batch_dims=1)
    return away * tape.gradient(logit, point)


def expected_gradients(
    gradients: Callable,
    cells: np.ndarray,
    classes: np.ndarray,
    background: Sequence[np.ndarray],
    n_samples: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Importance of every gene in some cells: the mean of path gradients over random points.

    Every group of the background gives the same number of cells, and they stand at places a that cover
    [0, 1] evenly: of s steps the k-th lies at random in [k/s, (k+1)/s].

    Parameters
    ----------
    gradients
        :func:`path_gradients` of a network.
    cells, classes
        Cells x genes, and the group whose logit is explained, by cell.
    background
        Cells x genes, group by group.
    n_samples
        Random points a cell, rounded up to a multiple of the number of groups.
    rng
        Draws background cells and places.

    Returns
    -------
    numpy.ndarray
        phi, cells x genes. Their sum over the genes is f_c(x) less the mean of f_c over the
        background, up to the sampling.

    References
    ----------
    Erion et al., Nature Machine Intelligence 3:620 (2021), equation 3.

    Examples
    --------
    >>> import keras, numpy as np
    >>> from functools import partial
    >>> from imap_keras.imap.importance import expected_gradients, path_gradients
    >>> line = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, kernel_initializer="ones")])
    >>> cells, background = np.float32([[3, 1]]), [np.float32([[1, 1]]), np.float32([[2, 1]])]
    >>> gradients, rng = partial(path_gradients, line), np.random.default_rng(0)
    >>> expected_gradients(gradients, cells, np.array([0]), background, 4, rng).tolist()
    [[1.5, 0.0]]
    """
    steps = steps_of(n_samples, len(background))
    random = rng.random((len(cells), len(background), steps, 2))
    total = np.zeros_like(cells)
    for group, members in enumerate(background):
        for step in range(steps):
            which, within = random[:, group, step].T
            others = members[(which * len(members)).astype(int)]
            place = ((step + within[:, None]) / steps).astype("float32")
            total += gradients(cells, others, place, classes).numpy()
    return total / (steps * len(background))


def completeness_gap(attributed, logit, background_logit, span):
    """``|sum of phi - (f(x) - mean f(x'))|``, as a share of the range of f: 0 where nothing is lost.

    Parameters
    ----------
    attributed
        Sum of a cell's importance over the genes.
    logit, background_logit
        f of the cell, and its mean over the background.
    span
        Largest less smallest f of any cell.

    Examples
    --------
    >>> from imap_keras.imap.importance import completeness_gap
    >>> completeness_gap(2.5, 4.0, 1.0, 10.0)
    0.05
    """
    return abs(attributed - (logit - background_logit)) / span


def stratified(codes: np.ndarray, n: int | None, rng: np.random.Generator) -> list[np.ndarray]:
    """At most `n` cells of each group, in order; None: all.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.imap.importance import stratified
    >>> rows = stratified(np.array([0, 0, 0, 1]), 2, np.random.default_rng(0))
    >>> [len(group) for group in rows]
    [2, 1]
    """
    groups = [np.flatnonzero(codes == code) for code in range(codes.max() + 1)]
    return [
        rows if n is None or len(rows) <= n else np.sort(rng.choice(rows, n, replace=False))
        for rows in groups
    ]


# ------------------------------------------------------------------- what one calls


def gene_importance(
    model: IMAP,
    adata: AnnData,
    label_key: str = "cell_type",
    keep_cells: bool = True,
    verbose: int = 1,
    **parameters,
) -> AnnData:
    """Which genes tell the cell types apart, by way of the content code E(x), which carries no batch.

    Parameters
    ----------
    model
        Fitted. It is not changed.
    adata
        Log-normalised cells with all fitted genes. Not changed.
    label_key
        Column of ``adata.obs`` with the cell types: two or more.
    keep_cells
        False leaves the importance of single cells out and keeps the means by type.
    verbose
        0 shows no progress bar.
    parameters
        Of :class:`imap_keras.imap.head.ImportanceParameters`.

    Returns
    -------
    anndata.AnnData
        The explained cells x genes. ``X`` is the importance, in units of the logit; ``obs`` has the
        label, what the head predicted (whose logit is explained), that `logit`, its mean over the
        background and the completeness `gap`; ``varm["importance"]`` is genes x types, the mean over
        the type's cells that the head tells right; ``uns["importance"]`` says `label_key`, the balanced
        `accuracy` on cells held out, the median `gap` and the head's `losses`.

    Raises
    ------
    TypeError
        `model` is none, or an unknown parameter.
    NotFittedError
        The model has not been fitted.
    KeyError
        The column does not exist.
    ValueError
        One label only, cells without a label, fitted genes missing, values that are not log-normalised.

    Warns
    -----
    UserWarning
        The head tells few of the cells held out; none of a type's cells; or the median gap is above a
        tenth of the logit's range.

    References
    ----------
    Wang et al., Genome Biology 22:63 (2021), Methods; Erion et al., Nature Machine Intelligence 3:620
    (2021).

    Examples
    --------
    >>> import imap_keras
    >>> from imap_keras.imap import gene_importance
    >>> cells = imap_keras.datasets.simulate(n_cells=200, n_genes=40, n_batches=2, n_types=2)
    >>> cells = imap_keras.preprocess(cells, min_genes=5, verbose=0)
    >>> short = dict(latent_dim=8, hidden=(16,), critic_hidden=(8,), stage1_epochs=1, stage2_epochs=1)
    >>> model = imap_keras.IMAP(n_components=5, pair_agreement=0, **short).fit(cells, verbose=0)
    >>> found = gene_importance(model, cells, verbose=0, epochs=40, learning_rate=0.01, n_cells=5)
    >>> found.shape, found.varm["importance"].shape
    ((10, 40), (40, 2))
    """
    hp = ImportanceParameters.of("default", **parameters)
    if not isinstance(model, IMAP):
        raise TypeError(
            f"model={type(model).__name__} must be a fitted imap_keras.IMAP; "
            "contrast_importance(adata, label_key) needs no model."
        )
    model.check_fitted()
    adata = in_memory(adata)
    labels = two_or_more(adata, label_key)
    adata = with_genes(adata, model.variable_genes)
    compare_recipes(model.preprocessing, recipe_of(adata))
    return _explained(adata, label_key, labels, model.encoder, keep_cells, hp, verbose)


def contrast_importance(
    adata: AnnData,
    label_key: str = "batch",
    keep_cells: bool = True,
    verbose: int = 1,
    **parameters,
) -> AnnData:
    """Which genes tell platforms, or any other groups, apart: a head on the genes themselves.

    It reports whatever differs between the groups. If they hold cell types in other shares, it also
    reports the genes of those types: compare within a type, or weigh the shares first.

    Parameters
    ----------
    adata
        Log-normalised cells x genes. Not changed.
    label_key
        Column of ``adata.obs`` with two or more groups.
    keep_cells, verbose, parameters
        As for :func:`gene_importance`.

    Returns
    -------
    anndata.AnnData
        As :func:`gene_importance`.

    Raises
    ------
    KeyError, TypeError, ValueError
        As :func:`gene_importance`; genes or cells of the same name.

    Warns
    -----
    UserWarning
        As :func:`gene_importance`.

    Examples
    --------
    >>> import imap_keras
    >>> from imap_keras.imap import contrast_importance
    >>> cells = imap_keras.datasets.simulate(n_cells=80, n_genes=40, n_batches=2, batch_strength=2.0)
    >>> cells = imap_keras.preprocess(cells, min_genes=5, verbose=0)
    >>> found = contrast_importance(cells, verbose=0, epochs=20, learning_rate=0.01, n_cells=5)
    >>> found.varm["importance"].columns.tolist()
    ['batch_0', 'batch_1']
    """
    hp = ImportanceParameters.of("default", **parameters)
    adata = in_memory(adata)
    check_unique_names(adata)
    labels = two_or_more(adata, label_key)
    return _explained(adata, label_key, labels, None, keep_cells, hp, verbose)


def two_or_more(adata: AnnData, label_key: str) -> np.ndarray:
    """Label of each cell, if there are at least two different ones.

    Raises
    ------
    KeyError, ValueError
        The column does not exist; a cell has no label; all have the same.

    Examples
    --------
    >>> import imap_keras
    >>> from imap_keras.imap.importance import two_or_more
    >>> two_or_more(imap_keras.datasets.simulate(n_cells=30), "batch").shape
    (30,)
    """
    labels = labels_of(adata, label_key, "label_key")
    names = np.unique(labels)
    if len(names) < 2:
        raise ValueError(
            f"All {len(labels)} cells have the label {names[0]!r} in adata.obs[{label_key!r}]; at "
            "least two different labels are needed. Is label_key the right column?"
        )
    return labels


def _explained(adata, label_key, labels, encoder, keep_cells, hp, verbose) -> AnnData:
    """Train a head, on the code of an encoder if there is one, and explain some cells of each group."""
    check_expression(adata.X, adata)
    names, codes = coded(labels)
    cells = Pool(adata.X, np.arange(adata.n_obs))
    inputs = cells if encoder is None else run(encoder, cells)
    head = build_head(inputs.shape[1], len(names), hp.hidden, Initializers("zero_bias", hp.seed))
    inside, held_out = hold_out(len(cells), hp.held_out, hp.seed, codes)
    losses = train_head(head, inputs, codes, inside, hp, verbose)
    logits = run(head, inputs)
    predicted = logits.argmax(axis=1)
    accuracy = float(balanced_accuracy_score(codes[held_out], predicted[held_out]))

    rng = np.random.default_rng(hp.seed)
    members = stratified(codes, hp.n_background, rng)
    chosen = np.sort(np.concatenate(stratified(codes, hp.n_cells, rng)))
    sums, attributed, kept = np.zeros((len(names), adata.n_vars)), [], []
    network = head if encoder is None else _joined(encoder, head)
    for rows, phi in _blocks(network, cells, predicted, members, chosen, hp, rng, verbose):
        told = predicted[rows] == codes[rows]
        sums += group_sums(phi[told], codes[rows][told], len(names))
        attributed.append(phi.sum(axis=1, dtype=float))
        kept += [phi] * keep_cells

    right = chosen[predicted[chosen] == codes[chosen]]
    told = np.bincount(codes[right], minlength=len(names))
    means = {name: sums[i] / told[i] for i, name in enumerate(names) if told[i]}
    obs = _table(adata, label_key, labels, names, logits, members, chosen, np.concatenate(attributed))
    gap = float(obs["gap"].median())
    _warn_of(accuracy, gap, [name for name in names if name not in means], label_key, len(names), hp)
    found = {"label_key": label_key, "accuracy": accuracy, "gap": gap, "losses": losses}
    return AnnData(
        np.concatenate(kept) if keep_cells else None,
        obs=obs,
        var=pd.DataFrame(index=adata.var_names),
        varm={"importance": pd.DataFrame(means, index=adata.var_names)},
        uns={"importance": found},
    )


def _blocks(network, cells, predicted, members, chosen, hp, rng, verbose) -> Iterator:
    """Explain the chosen cells, `chunk` at a time: their rows, and the importance of their genes."""
    background = [cells[rows] for rows in members]
    gradients = tf.function(partial(path_gradients, network), reduce_retracing=True)
    for start in tqdm(range(0, len(chosen), hp.chunk), "which genes", disable=not verbose):
        rows = chosen[start : start + hp.chunk]
        classes = predicted[rows]
        yield rows, expected_gradients(gradients, cells[rows], classes, background, hp.n_samples, rng)


def _table(adata, label_key, labels, names, logits, members, chosen, attributed) -> pd.DataFrame:
    """By explained cell: label, prediction, its logit, that of the background, and what is missing."""
    classes = logits[chosen].argmax(axis=1)
    logit = logits[chosen, classes]
    base = np.mean([logits[rows].mean(axis=0) for rows in members], axis=0)[classes]
    span = np.maximum(np.ptp(logits, axis=0), 1e-12)[classes]
    columns = {
        label_key: labels[chosen],
        "predicted": np.asarray(names)[classes],
        "logit": logit,
        "background_logit": base,
        "gap": completeness_gap(attributed, logit, base, span),
    }
    return pd.DataFrame(columns, index=adata.obs_names[chosen])


def _joined(encoder: keras.Model, head: keras.Model) -> keras.Model:
    """The head behind the encoder: cells x genes -> cells x groups."""
    cells = keras.Input(encoder.input_shape[1:], name="explained_cells")
    return keras.Model(cells, head(encoder(cells)), name="explained")


def _warn_of(accuracy, gap, untold, label_key, n_groups, hp) -> None:
    """Say what makes the result doubtful."""
    chance = 1 / n_groups
    if accuracy < chance + KNOWS_LITTLE * (1 - chance):
        warnings.warn(
            f"The head tells {accuracy:.0%} of the cells held out (chance {chance:.0%}), so its genes "
            f"of {label_key!r} may be chance: do the groups differ, and are epochs={hp.epochs} enough?",
            stacklevel=4,
        )
    if untold:
        warnings.warn(
            f"The head tells none of the explained cells of {', '.join(map(repr, untold))} right, so "
            "there are no genes for them; raise epochs or n_cells.",
            stacklevel=4,
        )
    if gap > LARGEST_GAP:
        warnings.warn(
            f"The importance of all genes misses what it explains by {gap:.0%} of the logit's range "
            f"(median over the cells; at most {LARGEST_GAP:.0%} is expected): raise n_samples "
            f"({hp.n_samples}).",
            stacklevel=4,
        )
