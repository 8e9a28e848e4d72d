"""iMAP from log-normalised cells to integrated cells: both stages behind one class."""

import inspect
from collections.abc import Sequence
from copy import copy
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from anndata import AnnData

from ..inputs.cells import AT_ONCE, open_cells
from ..inputs.cluster import check_written
from ..inputs.embeddings import embedding_of
from ..inputs.genes import check_unique_names, with_genes
from ..inputs.labels import check_batches, check_order, coded, labels_of
from ..inputs.recipe import compare_recipes, recipe_of
from ..nn.blocks import rescaled
from ..nn.estimator import Estimator, Widths
from ..nn.fitting import run
from ..nn.memory import give_back
from ..nn.replicas import check_strategy
from .components import principal_components, scale_factor, variable_first
from .gene_choice import chosen_genes
from .gene_chunks import carry_chunks, map_chunks, unscaled
from .hyperparameters import Hyperparameters
from .mapping import map_batches, read_sides
from .merging import merge_batches
from .pairs import check_annoy
from .pool import check_cells, for_components, read_pool, searched
from .query_batch import check_apart
from .result_file import check_fits, into_file
from .saving import networks_of, restore, state_of, widths_of
from .spread import match_spreads
from .streaming import check_kept, fitted_labels, into_memory, put_into, summary
from .training import train_stage1


class IMAP(Estimator):
    """Integrate batches of single cells with iMAP (Wang et al., Genome Biology 22:63, 2021).

    Parameters
    ----------
    preset
        ``"default"``, or ``"reference"`` for exactly what the published code does.
    hyperparameters
        Any of :class:`imap_keras.imap.hyperparameters.Hyperparameters` by name.

    Attributes
    ----------
    genes, variable_genes
        Names of the genes that are corrected, and of those that stage I and the pairs read: the same,
        unless :meth:`fit` was asked for more genes.
    chunks
        The other genes by chunk, each with generators of its own.
    scale
        Number the cells were multiplied by for training, see `spread`; the networks do so themselves.
    spreads
        By query batch, what its components are multiplied by and moved by, see `match_spread`.
    encoder
        E of stage I, a Keras model: cells x variable genes -> cells x `latent_dim`.
    generators
        G of stage II by query batch: cells x variable genes -> the same. A batch that shares no cell
        type with those before it has none and stays as it is (:meth:`fit` warns).
    order
        Batches in the order they were merged, the anchor first.
    pairs
        By query batch, pairs x 2 of cell indices (query cell, anchor cell): of the cells of
        :meth:`fit`, or, for a mapped batch, of the reference's cells followed by the query's.
    pair_counts
        Table of MNN and random-walk pairs by query batch, and of what carries it: its generator, or, of
        few pairs, their mean move.
    history
        ``{"stage1": table, "stage2": table}`` of the losses, epoch by epoch.
    preprocessing
        What the cells of :meth:`fit` recorded of how they were prepared (`preprocess` does); empty
        where they recorded nothing. New cells are held against it.

    Raises
    ------
    ValueError, TypeError
        A hyperparameter is unknown or out of range.

    Examples
    --------
    >>> import imap_keras
    >>> imap_keras.IMAP(latent_dim=64).hyperparameters.lambda_content
    3.0
    """

    kind = "imap"
    how_to_fit = "fit(adata, batch_key=...)"

    def __init__(self, preset: str = "default", **hyperparameters):
        self.hyperparameters = Hyperparameters.of(preset, **hyperparameters)
        self.encoder: keras.Model | None = None

    # ------------------------------------------------------------------ fit

    def fit(
        self,
        adata: AnnData | str | Path,
        batch_key: str = "batch",
        order: Sequence[str] | None = None,
        verbose: int = 1,
        genes: str | Sequence[str] = "variable",
        client=None,
        strategy: tf.distribute.Strategy | None = None,
    ) -> "IMAP":
        """Train both stages.

        Parameters
        ----------
        adata
            Log-normalised cells x genes (see :func:`imap_keras.preprocess`), dense or sparse: an
            AnnData, backed or with Dask in ``X`` too, or the path of an .h5ad or .zarr. Read once, in
            blocks; `pool_size` cells of a batch are kept and trained on. Where more than 20,000 are
            kept in all, pairs and their components are looked for among `n_samples` cells of a batch.
            The components of the result come from at most 10,000 cells. Not changed.
        batch_key
            Column of ``adata.obs`` that names the batch.
        order
            All batches in the order to merge them, the anchor first; by default in decreasing total
            variance (sum over genes of the standard deviation), where one with few pairs may wait
            (`least_paired`).
        verbose
            0 shows no progress bar.
        genes
            ``"variable"``: those that ``adata.var["highly_variable"]`` marks, all where none is marked.
            ``"all"``: stage I and the search for pairs read the marked ones, and all genes are
            corrected: the others by stage II in chunks of at most `chunk_genes`, along the same pairs.
            A list of names: the same with these in place of the marked ones.
        client
            A ``distributed.Client`` or the address of a Dask scheduler: its workers train stage II, a
            query batch each, which needs ``IMAP(incremental=False)``. Stage I is trained here.
        strategy
            A ``tf.distribute.MirroredStrategy`` (several GPUs) or ``MultiWorkerMirroredStrategy``
            (several machines, each of which runs the same program and gets the same model): stage I
            shares each step's rows out among the replicas. It may be made before the model or after it.
            Stage II, whose steps have few rows, is trained by each machine for itself.

        Returns
        -------
        IMAP
            Itself.

        Raises
        ------
        KeyError
            `batch_key` is not a column; ``adata.obsm`` has no embedding `pair_space`.
        ValueError
            One batch only; NaN, negative or not-logged values; a batch of fewer than 10 cells;
            cells or genes of the same name; an `order` that does not name every batch once; unknown
            `genes`, or ``"all"`` where no gene is marked; NaN in the embedding `pair_space`; `client`
            with ``incremental=True``; replicas that do not divide `stage1_rows`.
        ConnectionError
            There is no cluster at `client`.
        TypeError
            `strategy` is neither of the two.
        RuntimeError
            Called inside ``with strategy.scope()``.
        NoPairsError
            Two batches have no mutual nearest neighbours.
        """
        hp = self.hyperparameters
        check_strategy(strategy, hp.stage1_rows, f"stage1_rows={hp.stage1_rows}")
        everything = open_cells(adata)
        labels = labels_of(everything, batch_key)
        check_unique_names(everything)
        variable, rest = chosen_genes(everything.var, genes, verbose)
        cells = everything.with_genes(variable)
        batches, codes = check_batches(labels), coded(labels)[1]
        if order is not None:
            order = check_order(order, batches)
        if hp.search == "annoy":
            check_annoy()
        if client is not None:
            check_apart(client, hp)
        space = embedding_of(cells, hp.own_space, "pair_space") if hp.own_space else None
        if rest:  # stage II reads them, too, long after
            check_cells(everything, adata)
        read = read_pool(cells, codes, hp, adata)
        scale = read.pool.scale = scale_factor(read.moments, hp)
        planned = order or variable_first(read.moments, batches)
        many = len(read.pool) > AT_ONCE
        give_back()
        models, stage1_history = train_stage1(read.pool, read.codes, hp, verbose, strategy)
        give_back(circles=many)
        looked_at = searched(read, hp)
        pool, labels = read.pool.some(looked_at), np.asarray(batches)[read.codes[looked_at]]
        content = run(models["encoder"], pool) if space is None else space[pool.index]
        told = dict(verbose=verbose, client=client, keep_order=order is not None)
        merged = merge_batches(pool, labels, content, planned, hp, **told)
        order = [planned[0], *merged.pairs]
        chunks = carry_chunks(everything, pool.index, labels, merged, rest, order, hp, verbose, client)
        give_back(circles=many)
        sample = for_components(read, merged.carried, batches, hp)
        pca = principal_components(sample, hp, overwrite=True)
        del sample
        spreads = match_spreads(pca, merged, scale, hp)
        # Nothing of an earlier fit is replaced before this one has succeeded.
        self.batch_key, self.order = batch_key, order
        self.variable_genes, self.chunks = variable, chunks
        self.genes = everything.var_names.astype(str).tolist() if rest else variable
        self.encoder = rescaled(models["encoder"], before=scale)
        self.content_decoder = rescaled(models["content_decoder"], after=1 / scale)
        self.batch_decoder = rescaled(models["batch_decoder"], after=1 / scale)
        self.generators = unscaled(merged.generators, scale)
        self.pairs = {name: pool.index[pairs] for name, pairs in merged.pairs.items()}
        self.pair_counts = merged.pair_counts
        self.history = {"stage1": stage1_history, "stage2": merged.history}
        self.pca, self.spreads = pca, spreads
        self.scale, self.preprocessing = scale, recipe_of(cells)
        return self

    # ------------------------------------------------------------ transform

    def transform(
        self,
        adata: AnnData | str | Path,
        batch_key: str | None = None,
        out: str | Path | None = None,
        keep: Sequence[str] | None = None,
        dtype: str = "float32",
        verbose: int = 1,
        client=None,
    ) -> AnnData | Path:
        """Carry cells of the fitted batches into the anchor.

        Parameters
        ----------
        adata
            Log-normalised cells with all fitted genes (others are ignored for the correction): an
            AnnData, backed or with Dask in ``X`` too, or the path of an .h5ad or .zarr. Not changed.
        batch_key
            Column of ``adata.obs``; by default the one of :meth:`fit`.
        out
            Path that ends in .h5ad or .zarr: cells are read, carried and written there block by block,
            whole or not at all, and never lie in memory together.
        keep
            What the result holds of ``"X_imap"``, ``"X_imap_content"`` and ``"imap"``: by default all
            three, with `out` the components ``X_imap`` alone.
        dtype
            Of the expression in `out`: ``"float32"``, sparse where a ReLU ends it (`relu_output`), or
            ``"float16"``.
        verbose
            0 shows no progress bar (there is one with `out`).
        client
            A ``distributed.Client`` or the address of a Dask scheduler: its workers open `adata` by its
            path and carry a block of 4,096 cells each, with `out`. The result is that of one process,
            to the bit of more than 20,000 cells, and of fewer, which one process carries at once, to
            1e-6.

        Returns
        -------
        anndata.AnnData or pathlib.Path
            With `out` its path: an AnnData without ``X``. Else a copy, same cells in the same order,
            with ``obsm["X_imap_content"]`` (stage I), ``layers["imap"]`` (corrected expression, clipped
            at 0 with `clip_output`), ``obsm["X_imap"]`` (principal components of the corrected variable
            genes, before they are clipped, weighed by `component_neighbors`, of one
            spread by `match_spread`) and
            ``uns["imap"]`` (hyperparameters, order, pair counts, losses, preprocessing). If `adata`
            has more genes than were fitted, the copy has the fitted ones.

        Raises
        ------
        RuntimeError
            :meth:`fit` has not been called.
        ValueError
            Fitted genes are missing, a batch was not fitted, values are out of range, or the cells
            record that they were normalised or logged otherwise than those of :meth:`fit`; `out` or
            `keep` is none of those named; `client` without `out`.
        OSError
            `out` exists already; the disk has too little room for it, which is said before any work.
        TypeError
            `client` is to read cells in memory.
        ConnectionError
            There is no cluster at `client`.
        """
        self.check_fitted()
        keep = check_kept(keep, out, dtype)
        check_written(client, out)
        if out is not None:
            cells = open_cells(adata)
            compare_recipes(self.preprocessing, recipe_of(cells))
            cells = cells.with_genes(self.genes)
            labels = fitted_labels(self, cells, batch_key)
            return into_file(self, cells, labels, keep, out, dtype, verbose, client)
        adata = with_genes(adata, self.genes)
        compare_recipes(self.preprocessing, recipe_of(adata))
        labels = fitted_labels(self, adata, batch_key)
        put_into(adata, into_memory(self, open_cells(adata), labels, keep, adata))
        adata.uns["imap"] = summary(self)
        return adata

    def fit_transform(
        self,
        adata: AnnData,
        batch_key: str = "batch",
        order: Sequence[str] | None = None,
        verbose: int = 1,
        genes: str | Sequence[str] = "variable",
        client=None,
        strategy: tf.distribute.Strategy | None = None,
    ) -> AnnData:
        """:meth:`fit`, told all that it takes, then :meth:`transform` of the same cells."""
        fitted = self.fit(adata, batch_key, order, verbose, genes, client, strategy)
        return fitted.transform(adata)

    def map_query(
        self,
        adata: AnnData | str | Path,
        reference: AnnData | str | Path | None = None,
        batch_key: str | None = None,
        verbose: int = 1,
        out: str | Path | None = None,
        keep: Sequence[str] | None = None,
        dtype: str = "float32",
    ) -> AnnData | Path:
        """Carry new batches into the fitted integration, training only a generator for each.

        The encoder of stage I, the earlier generators and the principal components stay as they are,
        to the bit, and so does what :meth:`transform` gives for the fitted batches. The encoder never
        saw the new batch: a platform unlike all fitted ones is better served by a new :meth:`fit`.

        Parameters
        ----------
        adata
            Log-normalised cells of new batches with all fitted genes, or their path. Not changed. Of
            many only `n_samples` a batch are trained on; all are carried.
        reference
            Cells of fitted batches to pair them with: a model keeps no cells, so hand in what
            :meth:`fit` read, or what :meth:`transform` gave back in memory (a file that it wrote has no
            ``X``). Of many only `n_samples` a batch are read. Not changed.
        batch_key
            Column of both ``obs``; by default the one of :meth:`fit`.
        verbose
            0 shows no progress bar.
        out, keep, dtype
            Where the new cells go, and what of them, as for :meth:`transform`. Looked at before any
            training.

        Returns
        -------
        anndata.AnnData or pathlib.Path
            The new cells as :meth:`transform` gives them. From now on the model knows their batches,
            also after :meth:`save` and :meth:`load`.

        Raises
        ------
        RuntimeError
            :meth:`fit` has not been called.
        KeyError
            The batch column does not exist.
        ValueError
            No `reference`; a batch that was fitted already, or one of fewer than 10 cells; fitted
            genes are missing; values are out of range; cells that record another normalisation or
            logarithm than those of :meth:`fit`; `out`, `keep` or `dtype` as for :meth:`transform`.
        OSError
            `out` exists already, or the disk has too little room for it.
        NoPairsError
            A new batch has no mutual nearest neighbours in the reference.

        Warns
        -----
        UserWarning
            The new cells seem normalised to another total than the reference, or by the counts of
            fewer genes.
        """
        self.check_fitted()
        batch_key, hp = batch_key or self.batch_key, self.hyperparameters
        keep = check_kept(keep, out, dtype)
        if out is not None:
            check_fits(self, open_cells(adata).with_genes(self.genes), keep, out, dtype)
        new, known = read_sides(self, adata, reference, batch_key)
        merged = map_batches(known, new, self.generators, self.order, self.scale, hp, verbose)
        spreads = match_spreads(self.pca, merged, self.scale, hp, self.spreads)
        grown = copy(self)  # if something fails the model does not know the new batches
        grown.chunks = map_chunks(self.chunks, known, new, merged, self.order, hp, verbose)
        grown.order, grown.spreads = self.order + list(merged.pairs), spreads
        grown.generators = self.generators | unscaled(merged.generators, self.scale)
        rows = np.concatenate([known.rows, len(open_cells(reference)) + new.rows])
        grown.pairs = self.pairs | {name: rows[pairs] for name, pairs in merged.pairs.items()}
        grown.pair_counts = pd.concat([self.pair_counts, merged.pair_counts], ignore_index=True)
        losses = pd.concat([self.history["stage2"], merged.history], ignore_index=True)
        grown.history = self.history | {"stage2": losses}
        result = grown.transform(adata, batch_key, out, keep, dtype, verbose)
        vars(self).update(vars(grown))
        return result

    # ---------------------------------------------------------- save, load

    def _networks(self) -> dict[str, keras.Model]:
        return networks_of(self)

    def _state(self) -> dict:
        return state_of(self)

    @classmethod
    def _expected(cls, state: dict) -> dict[str, Widths]:
        return widths_of(state)

    @classmethod
    def _restored(cls, networks: dict[str, keras.Model], state: dict) -> "IMAP":
        # Models saved before the expression was clipped, components weighed or batches waited go on
        # as they did.
        before = {
            "clip_output": False,
            "component_neighbors": 0,
            "match_spread": False,
            "least_paired": 0,
        }
        model = cls(**before | state["hyperparameters"])
        restore(model, networks, state)
        return model


# help(IMAP) lists every hyperparameter with its default.
IMAP.__signature__ = inspect.Signature(
    [inspect.Parameter("preset", inspect.Parameter.POSITIONAL_OR_KEYWORD, default="default")]
    + [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for parameter in inspect.signature(Hyperparameters).parameters.values()
    ]
)


def integrate(
    adata: AnnData,
    batch_key: str = "batch",
    order: Sequence[str] | None = None,
    verbose: int = 1,
    genes: str | Sequence[str] = "variable",
    **hyperparameters,
) -> AnnData:
    """Integrate log-normalised batches in one line: ``IMAP(...).fit_transform(adata)``.

    Parameters
    ----------
    adata, batch_key, order, verbose, genes
        As for :meth:`IMAP.fit`.
    hyperparameters
        As for :class:`IMAP`, `preset` included.

    Returns
    -------
    anndata.AnnData
        As :meth:`IMAP.transform` describes.

    Raises
    ------
    KeyError, ValueError, TypeError
        As :class:`IMAP` and :meth:`IMAP.fit`.

    Examples
    --------
    >>> import imap_keras
    >>> cells = imap_keras.datasets.simulate(n_cells=60, n_genes=40, n_batches=2)
    >>> cells = imap_keras.preprocess(cells, min_genes=5, verbose=0)
    >>> short = dict(latent_dim=4, hidden=(8,), critic_hidden=(8,), stage1_epochs=1, stage2_epochs=1)
    >>> cells = imap_keras.integrate(cells, verbose=0, n_components=5, pair_agreement=0, **short)
    >>> cells.obsm["X_imap"].shape
    (60, 5)
    """
    return IMAP(**hyperparameters).fit_transform(adata, batch_key, order, verbose, genes)
