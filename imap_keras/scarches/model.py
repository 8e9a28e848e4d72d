"""A reference: train it once, map queries onto it, share it without its cells."""

from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from anndata import AnnData
from scipy.special import softmax

from ..inputs.cells import Cells
from ..inputs.genes import check_unique_names
from ..inputs.labels import check_batch_sizes, labels_of
from ..inputs.parts import as_they_lie, blocks_of, some_of_each
from ..inputs.recipe import compare_recipes, recipe_of
from ..nn.estimator import Estimator, Widths
from ..nn.fitting import run
from ..nn.parameters import check_choice
from .adaptor import read_adaptor, write_adaptor
from .cells import align_genes, check_every_cell, codes_of, column_of, expression, layer_of
from .classifier import CLASSIFIER, label_codes, tell_of_lost
from .hyperparameters import UNNAMED, ReferenceHyperparameters
from .novelty import distances, landmarks
from .saving import restore, state_of, widths_of
from .surgery import DEGREES, build_networks, grow, parameter_table
from .training import train
from .transfer import UNKNOWN, called, check_limits

PURPOSE = "to train on and to hold some out"


class Reference(Estimator):
    """A reference to map queries onto: a conditional VAE with scArches' surgery.

    Parameters
    ----------
    preset
        ``"default"``, or ``"reference"``: the published trVAE of scArches, number by number (what is
        proven of it: one step of training, surgery, the schedule of the KL weight, label transfer).
    hyperparameters
        Any of :class:`ReferenceHyperparameters` by name.

    Attributes
    ----------
    encoder, decoder
        Keras models, see :func:`build_conditional_encoder` and :func:`build_conditional_decoder`.
    classifier, labels
        Keras model from latent code to logits, and the names of the labels; None and none unless
        ``label_weight`` is above 0.
    batches
        Names of the batches, in the order of the one-hot columns.
    genes
        Genes the encoder reads.
    history
        Losses by epoch, of the last training, and the processor seconds passed; an attached adaptor
        has none.

    Raises
    ------
    ValueError, TypeError
        A hyperparameter is out of range or unknown.

    References
    ----------
    Lotfollahi et al., Nature Biotechnology 40:121 (2022).

    Examples
    --------
    >>> from imap_keras import datasets, scarches
    >>> adata = datasets.simulate(n_cells=60, n_genes=20, n_batches=3, n_types=2)
    >>> is_query = adata.obs["batch"] == "batch_2"
    >>> reference = scarches.Reference(hidden=(8,), epochs=1).fit(adata[~is_query], verbose=0)
    >>> grown = reference.map_query(adata[is_query], verbose=0)
    >>> grown.latent(adata).shape
    (60, 10)
    """

    kind = "scarches"
    how_to_fit = "fit(adata, batch_key=...)"

    def __init__(self, preset: str = "default", **hyperparameters):
        self.hyperparameters = ReferenceHyperparameters.of(preset, **hyperparameters)
        self.encoder = self.decoder = self.classifier = None

    @property
    def networks(self) -> dict[str, keras.Model]:
        """Encoder and decoder by name."""
        self.check_fitted()
        return self._networks()

    def fit(
        self,
        adata: AnnData,
        batch_key: str = "batch",
        verbose: int = 1,
        label_key: str | None = None,
        unlabelled: str = UNKNOWN,
        strategy: tf.distribute.Strategy | None = None,
    ) -> "Reference":
        """Train on the reference batches.

        Parameters
        ----------
        adata
            Cells x genes: counts in ``layers["counts"]`` or ``X`` for the count likelihoods, log-
            normalised values in ``X`` for ``"mse"``: an AnnData, backed or with Dask in ``X`` too, or
            the path of an .h5ad or .zarr. Of more than 20,000 cells at most `pool_size` of a batch are
            trained on. Not changed.
        batch_key
            Column of ``adata.obs``.
        verbose
            0 shows no progress bar.
        label_key, unlabelled
            Column of ``adata.obs`` that the classifier learns, where ``label_weight`` is above 0. Cells
            whose label is empty (NaN, no text) or `unlabelled` are trained on like the others, but not
            by it.
        strategy
            A ``tf.distribute.MirroredStrategy`` (several GPUs) or ``MultiWorkerMirroredStrategy``
            (several machines, each of which runs the same program and gets the same reference): each
            step's rows are shared out among the replicas. It may be made before the reference or after
            it.

        Returns
        -------
        Reference
            Itself.

        Raises
        ------
        KeyError
            `batch_key` or `label_key` is not a column.
        ValueError
            Negative or fractional counts; a batch of fewer than 10 cells; names used twice; labels
            without a ``label_weight``, or the other way round; fewer than two labels; replicas that do
            not divide the rows that `batch_size` gives each batch.
        TypeError
            `strategy` is neither of the two.
        RuntimeError
            Called inside ``with strategy.scope()``.

        Warns
        -----
        UserWarning
            Of many cells none that has a certain label is trained on: it cannot be learnt.
        """
        hp = self.hyperparameters
        adata = self._opened(adata)
        batches = check_batch_sizes(labels_of(adata, batch_key), purpose=PURPOSE)
        check_unique_names(adata)
        every, _ = label_codes(adata, label_key, hp.label_weight, unlabelled)  # before cells are read
        check_every_cell(adata, hp.likelihood)
        adata = some_of_each(adata, batch_key, hp.pool_size, hp.seed, layer_of(hp.likelihood))
        labels = labels_of(adata, batch_key)
        names, numbers = label_codes(adata, label_key, hp.label_weight, unlabelled)
        tell_of_lost(every, names, hp.pool_size)
        cells, codes = expression(adata, hp.likelihood), codes_of(labels, batches)
        recipe = recipe_of(adata) if hp.likelihood == "mse" else {}  # else counts are read
        options = {"dropout": hp.dropout, "seed": hp.seed, "n_labels": len(names)}
        networks = build_networks(adata.n_vars, len(batches), hp, **options)
        history = train(
            **networks,
            cells=cells,
            codes=codes,
            hp=hp,
            title="reference",
            verbose=verbose,
            labels=numbers,
            strategy=strategy,
        )
        one_hot = np.eye(len(batches), dtype="float32")[codes]
        points = landmarks(run(networks["encoder"], [cells, one_hot])[0], hp.seed)
        # Nothing of an earlier fit is replaced before this one has succeeded.
        self.batch_key, self.batches, self.labels = batch_key, batches, names
        self.genes, self.preprocessing = adata.var_names.astype(str).tolist(), recipe
        self._take(networks, history)
        self.landmarks = points
        return self

    def map_query(
        self,
        adata: AnnData,
        batch_key: str | None = None,
        degree: str = "batch",
        verbose: int = 1,
        strategy: tf.distribute.Strategy | None = None,
        **changes,
    ) -> "Reference":
        """Map new batches onto the reference by surgery; no reference cell is needed.

        Columns for the new batches join the first layers (and the dispersion); the rest is frozen by
        `degree`. Trained without dropout and without weight decay.

        Parameters
        ----------
        adata
            Cells of new batches, values as for :meth:`fit`; cells of known batches may be among them,
            and keep the rows of their batch. Genes are found by name, missing ones filled with 0, and a
            sentence says how many. Not changed.
        batch_key
            Column of ``adata.obs``; by default the one of :meth:`fit`.
        degree
            ``"batch"`` trains the new columns alone: the reference's latent means stay exactly as they
            are. ``"first_layer"`` trains the two first layers as well, ``"all"`` everything.
        verbose
            0 shows no progress bar and no sentence.
        strategy
            As for :meth:`fit`; the reference may have been trained without one.
        changes
            Hyperparameters of the training that shall differ, such as ``epochs``. With ``"batch"`` the
            learning rate is ``query_learning_rate`` unless given: a few new rows bear larger steps than
            a network.

        Returns
        -------
        Reference
            A new one that knows the old and the new batches; this one is not changed. Map the next
            query onto it.

        Raises
        ------
        KeyError
            The batch column does not exist.
        ValueError
            No batch is new; more than half of the genes missing; unknown `degree`; a change of the
            architecture; values as for :meth:`fit`; log values that record another normalisation or
            logarithm than those of :meth:`fit`.
        TypeError, RuntimeError
            As for :meth:`fit`.
        """
        networks, batch_key = self.networks, batch_key or self.batch_key
        check_choice("degree", degree, DEGREES)
        hp = self.hyperparameters.for_query(degree, **changes)
        adata = self._opened(adata)
        present = check_batch_sizes(labels_of(adata, batch_key, known=self.batches), purpose=PURPOSE)
        new = [name for name in present if name not in self.batches]
        if not new:
            raise ValueError(
                f"The reference has the batches {present} already; give a new batch another name. "
                "For more cells of a known batch call latent()."
            )
        compare_recipes(self.preprocessing, recipe_of(adata))
        check_every_cell(adata, hp.likelihood, self.genes)
        adata = some_of_each(adata, batch_key, hp.pool_size, hp.seed, layer_of(hp.likelihood))
        labels = labels_of(adata, batch_key, known=self.batches)
        cells, _ = align_genes(adata, self.genes, hp.likelihood, verbose)
        grown = grow(networks, len(new), degree, hp, seed=hp.seed + len(self.batches))
        codes = codes_of(labels, [*self.batches, *new])
        told = {"hp": hp, "title": "query", "verbose": verbose, "strategy": strategy}
        history = train(**grown, cells=cells, codes=codes, **told)
        # Where more than batch rows was trained, the cells of the reference have moved.
        return self._with(grown, new, history, self.landmarks if degree == "batch" else None)

    def latent(self, adata: AnnData, batch_key: str | None = None) -> np.ndarray:
        """Latent means of cells of known batches, cells x `latent_dim`.

        Parameters
        ----------
        adata
            Cells, values and genes as for :meth:`map_query`; more than 20,000 are read and mapped block
            by block.
        batch_key
            Column of ``adata.obs``; by default the one of :meth:`fit`.

        Raises
        ------
        RuntimeError
            :meth:`fit` has not been called.
        KeyError, ValueError
            As :meth:`map_query`; or a batch the reference does not know.
        """
        found = [run(self.encoder, inputs)[0] for inputs in self._inputs(adata, batch_key)]
        return np.concatenate(found)

    def expression(
        self, adata: AnnData, as_batch: str | None = None, batch_key: str | None = None
    ) -> np.ndarray:
        """What the decoder expects cells to express, from their latent means: without noise.

        Parameters
        ----------
        adata, batch_key
            As for :meth:`latent`.
        as_batch
            A known batch: as if all cells had been measured in it. None: each in its own.

        Returns
        -------
        numpy.ndarray
            Cells x genes of the reference: expected counts at the cell's own library size, or
            log-normalised values for ``"mse"``.

        Raises
        ------
        NotFittedError, KeyError, ValueError
            As :meth:`latent`; `as_batch` is not a batch of the reference.
        """
        self.check_fitted()
        column, found = None if as_batch is None else column_of(as_batch, self.batches), []
        for cells, one_hot in self._inputs(adata, batch_key):
            code = run(self.encoder, [cells, one_hot])[0]
            if column is not None:
                one_hot = np.zeros_like(one_hot)
                one_hot[:, column] = 1
            outputs = run(self.decoder, [code, one_hot])
            mean = outputs[0] if isinstance(outputs, list) else outputs
            is_share = self.hyperparameters.likelihood != "mse"
            found.append(mean * cells.sum(axis=1, keepdims=True) if is_share else mean)
        return np.concatenate(found)

    def novelty(self, adata: AnnData, batch_key: str | None = None) -> np.ndarray:
        """Distance of cells to the reference, in units of the distance that 99 % of its own cells keep.

        Neighbours that agree are no proof: a cell of an unseen type may lie beside one known type, far
        out. Above 1 a cell lies farther out than nearly all cells of the reference.

        Parameters
        ----------
        adata, batch_key
            As for :meth:`latent`.

        Returns
        -------
        numpy.ndarray
            One number per cell; hand it to :func:`transfer_labels`.

        Raises
        ------
        NotFittedError, KeyError, ValueError
            As :meth:`latent`; the reference has no such distance, because it was saved by version 0.1.0
            or a query has changed more than batch rows.
        """
        self.check_fitted()
        if self.landmarks is None:
            raise ValueError(
                "This reference does not know how far its own cells lie: it was saved by version "
                "0.1.0, or a query of degree 'first_layer' or 'all' has moved them. Fit it again, or "
                "map the query with degree='batch'."
            )
        points, radius = self.landmarks
        return distances(self.latent(adata, batch_key), points) / radius

    def label_probabilities(self, adata: AnnData, batch_key: str | None = None) -> pd.DataFrame:
        """The classifier's probability of each label, from latent means: no reference cell is needed.

        Parameters
        ----------
        adata, batch_key
            As for :meth:`latent`.

        Returns
        -------
        pandas.DataFrame
            Cells x labels, rows sum to 1.

        Raises
        ------
        NotFittedError, KeyError, ValueError
            As :meth:`latent`; the reference has no classifier.

        Examples
        --------
        >>> from imap_keras import datasets, scarches
        >>> adata = datasets.simulate(n_cells=60, n_genes=20, n_types=2)
        >>> reference = scarches.Reference(hidden=(8,), epochs=1, label_weight=50.0)
        >>> reference = reference.fit(adata, verbose=0, label_key="cell_type")
        >>> reference.label_probabilities(adata).columns.tolist()
        ['type_0', 'type_1']
        """
        self.check_fitted()
        if self.classifier is None:
            raise ValueError(
                "This reference has no classifier; fit it with label_weight above 0 and label_key, or "
                "label the query by its neighbours with transfer_labels."
            )
        adata = self._opened(adata)
        logits = run(self.classifier, self.latent(adata, batch_key))
        return pd.DataFrame(softmax(logits, axis=1), adata.obs_names, self.labels)

    def predict_labels(
        self,
        adata: AnnData,
        batch_key: str | None = None,
        threshold: float = 0.5,
        novelty: np.ndarray | None = None,
    ) -> pd.DataFrame:
        """The classifier's label of each cell, Unknown where it is not sure or the cell lies far out.

        Parameters
        ----------
        adata, batch_key
            As for :meth:`latent`.
        threshold
            Cells with a larger uncertainty, 1 minus the largest probability, are called ``"Unknown"``.
        novelty
            From :meth:`novelty`: cells above 1 are called Unknown too.

        Returns
        -------
        pandas.DataFrame
            As :func:`transfer_labels`, by the names of the cells.

        Raises
        ------
        NotFittedError, KeyError, ValueError
            As :meth:`label_probabilities`; threshold or novelty as for :func:`transfer_labels`.
        """
        adata = self._opened(adata)
        check_limits(adata.n_obs, threshold, novelty)
        shares = self.label_probabilities(adata, batch_key)
        return called(shares.to_numpy(), self.labels, threshold, novelty).set_axis(shares.index)

    def _opened(self, adata) -> AnnData | Cells:
        """The cells in memory, or, of many, where they are."""
        return as_they_lie(adata, layer_of(self.hyperparameters.likelihood))

    def _inputs(self, adata, batch_key: str | None) -> Iterator[list[np.ndarray]]:
        """Cells in the genes of the reference, and their batches one-hot; of many block by block."""
        self.check_fitted()
        adata, done = self._opened(adata), 0
        labels = labels_of(adata, batch_key or self.batch_key, known=self.batches)
        codes = codes_of(labels, self.batches)
        compare_recipes(self.preprocessing, recipe_of(adata))
        one_hot = np.eye(len(self.batches), dtype="float32")
        for part in blocks_of(adata):
            cells, _ = align_genes(part, self.genes, self.hyperparameters.likelihood, verbose=0)
            yield [cells, one_hot[codes[done : done + len(cells)]]]
            done += len(cells)

    def parameter_table(self) -> pd.DataFrame:
        """Trained against all parameters, layer by layer, the total last."""
        return parameter_table(self.networks)

    # ------------------------------------------------------------- share

    def _networks(self) -> dict[str, keras.Model]:
        networks = {"encoder": self.encoder, "decoder": self.decoder, CLASSIFIER: self.classifier}
        return {name: network for name, network in networks.items() if network is not None}

    def _take(self, networks: dict[str, keras.Model], history: pd.DataFrame) -> None:
        self.encoder, self.decoder, self.history = networks["encoder"], networks["decoder"], history
        self.classifier = networks.get(CLASSIFIER)

    def _state(self) -> dict:
        return state_of(self)

    @classmethod
    def _expected(cls, state: dict) -> dict[str, Widths]:
        return widths_of(state)

    @classmethod
    def _restored(cls, networks: dict[str, keras.Model], state: dict) -> "Reference":
        new = cls(**UNNAMED | state["hyperparameters"])
        restore(new, networks, state)
        return new

    def save_adaptor(self, folder: str | Path, batch: str) -> None:
        """Write what one batch has of its own, to be attached where the rest is already.

        Parameters
        ----------
        folder, batch
            Made if it does not exist; name of a batch of this reference.

        Raises
        ------
        ValueError
            There is no such batch.
        FileExistsError
            The folder holds something else than an earlier adaptor of this batch.
        """
        networks, row = self.networks, column_of(batch, self.batches)
        write_adaptor(folder, networks, self.genes, self.batches[row], row)

    def attach(self, folder: str | Path) -> "Reference":
        """Add the batch of an adaptor, exactly as it was trained.

        Parameters
        ----------
        folder
            From :meth:`save_adaptor`.

        Returns
        -------
        Reference
            A new one that knows one more batch; this one is not changed.

        Raises
        ------
        FileNotFoundError, ValueError
            The folder is not an adaptor or a file is cut short; the reference has that batch already;
            the adaptor was trained on another reference.
        """
        known = (self.networks, self.genes, self.batches, self.hyperparameters)
        batch, grown = read_adaptor(folder, *known)
        return self._with(grown, [batch], pd.DataFrame(), self.landmarks)

    def _with(self, networks, names: list[str], history: pd.DataFrame, points) -> "Reference":
        new = Reference(**self.hyperparameters.as_dict())
        new.batch_key, new.genes, new.batches = self.batch_key, self.genes, self.batches + names
        new._take(networks, history)
        new.landmarks, new.preprocessing, new.labels = points, self.preprocessing, self.labels
        return new
