"""inClust+ behind one class: fit rows, then latent, impute, generate, predict_labels."""

import os

import keras
import numpy as np
import pandas as pd
from anndata import AnnData

from ..inputs.cells import BLOCK
from ..inputs.labels import known_name
from ..nn.estimator import Estimator, Widths
from ..nn.fitting import run
from .assemble import new_rows
from .hyperparameters import Hyperparameters
from .rows import Rows
from .tables import read_table
from .training import latent_means, train


class InClust(Estimator):
    """Integrate, impute and generate with inClust+ (Wang et al., BMC Bioinformatics 25:41, 2024).

    Parameters
    ----------
    preset
        ``"default"``, or ``"reference"``: what the published code does.
    hyperparameters
        Any of :class:`imap_keras.inclust.Hyperparameters` by name, to change the preset.

    Attributes
    ----------
    network
        The training model, a Keras model; ``encoder``, ``covariates``, ``classifier`` and
        ``decoder`` are the parts it is wired of.
    features, modalities, labels, covariate_names
        What :meth:`fit` saw.
    history
        Table of the losses, epoch by epoch.

    Raises
    ------
    ValueError, TypeError
        A preset is unknown; a hyperparameter is out of range or unknown.

    Examples
    --------
    >>> from imap_keras.datasets import simulate_modalities
    >>> from imap_keras.inclust import InClust, imputation
    >>> rna = simulate_modalities(40, {"rna": 9})["rna"]
    >>> rows = imputation(rna[:25], rna[25:], ["rna_2", "rna_7"], label_key="cell_type")
    >>> model = InClust(epochs=1, latent_dim=3).fit(rows, verbose=0)
    >>> table = model.impute(rows, "query")
    >>> list(table.columns), len(table)
    (['rna_2', 'rna_7'], 15)
    """

    kind = "inclust"
    how_to_fit = "fit(rows)"

    def __init__(self, preset: str = "default", **hyperparameters):
        self.hyperparameters = Hyperparameters.of(preset, **hyperparameters)
        self.network: keras.Model | None = None

    # ------------------------------------------------------------------ fit

    def fit(self, rows: Rows, verbose: int = 1) -> "InClust":
        """Train on rows; how far labels supervise it follows from how many rows have one.

        Parameters
        ----------
        rows
            From one of the task functions, such as :func:`imap_keras.inclust.paired`. Of more than
            20,000 cells at most `pool_size` of each covariate are read and trained on.
        verbose
            0 shows no progress bar.

        Returns
        -------
        InClust
            Itself.

        Raises
        ------
        TypeError
            `rows` are no rows of a task function.
        ValueError
            No labels and no `n_clusters`, or fewer clusters than labels; values above 1 for a sigmoid
            or tanh.
        FloatingPointError
            Training diverged.
        """
        self._check_kind(rows)
        network, history = train(rows, self.hyperparameters, verbose)
        # Nothing of an earlier fit is replaced before this one has succeeded.
        self.network, self.history = network, history
        self.features, self.modalities = list(rows.features), list(rows.modalities)
        self.labels, self.covariate_names = list(rows.labels), list(rows.covariates)
        self.was_read, self.was_judged = rows.input_masks.any(axis=0), rows.output_masks.any(axis=0)
        return self

    @property
    def encoder(self) -> keras.Model:
        """Cells and their mask -> z_mean, z_log_var."""
        return self._part("encoder")

    @property
    def covariates(self) -> keras.Model:
        """One-hot covariate -> its embedding yh."""
        return self._part("covariates")

    @property
    def classifier(self) -> keras.Model:
        """Latent -> probability of each cluster."""
        return self._part("classifier")

    @property
    def decoder(self) -> keras.Model:
        """Latent with covariate -> features."""
        return self._part("decoder")

    def _part(self, name: str) -> keras.Model:
        self.check_fitted()
        return self.network.get_layer(name)

    # ------------------------------------------------------------ what comes out

    def latent(self, rows: Rows, block: str, with_covariate: bool = False) -> np.ndarray:
        """The latent of a block's cells: the mean, covariate removed, nothing sampled.

        Parameters
        ----------
        rows, block
            Cells, and the block through whose input mask they are read.
        with_covariate
            True: z_mean as the encoder gives it, the covariate's part left in.

        Returns
        -------
        numpy.ndarray
            Cells of the block x latent_dim.

        Raises
        ------
        RuntimeError
            :meth:`fit` has not been called.
        ValueError
            The rows have other features or covariates than :meth:`fit` saw; no such block, or it reads
            features that no row of :meth:`fit` read.
        TypeError
            `rows` are no rows of a task function.
        """
        self._check_rows(rows)
        unread = (rows.input_masks[rows.number_of(block)] > 0) & ~self.was_read
        if unread.any():
            raise ValueError(
                f"Block {block!r} reads {int(unread.sum())} features that no row of fit() read, the "
                f"first is {self.features[unread.argmax()]!r}: the encoder never learnt them. Fit rows "
                "with a block that reads them."
            )
        z_mean = latent_means(self.encoder, rows, block)
        return z_mean if with_covariate else z_mean - self._yh(rows.covariate[rows.of_block(block)])

    def predict_labels(self, rows: Rows, block: str) -> pd.DataFrame:
        """The classifier's label of each cell of a block, and how sure it is.

        Parameters
        ----------
        rows, block
            As for :meth:`latent`.

        Returns
        -------
        pandas.DataFrame
            Cells x (``label``, ``probability``).

        Raises
        ------
        RuntimeError, ValueError
            As :meth:`latent`; the rows of :meth:`fit` had no labels.
        """
        self._check_rows(rows)
        if not self.labels:
            raise ValueError("The rows of fit() had no labels, so there is none to predict.")
        probability = run(self.classifier, self.latent(rows, block))[:, : len(self.labels)]
        best = probability.argmax(axis=1)
        names = [rows.cells[cell] for cell in rows.of_block(block)]
        table = {"label": np.array(self.labels)[best], "probability": probability.max(axis=1)}
        return pd.DataFrame(table, names)

    def impute(self, rows: Rows, block: str = "query", as_covariate: str | None = None) -> pd.DataFrame:
        """Decode the features that the cells of a block were not judged by: those they lack.

        Parameters
        ----------
        rows, block
            As for :meth:`latent`.
        as_covariate
            Decode as if the cells had this covariate (the reference's, which was trained on the
            features); None: as what they are.

        Returns
        -------
        pandas.DataFrame
            Cells of the block x features, on the scale of the data handed in.

        Raises
        ------
        RuntimeError, ValueError
            As :meth:`latent`; an unknown covariate; the block lacks nothing, or what it lacks no row of
            :meth:`fit` was judged by.
        """
        self._check_rows(rows)
        lacks = rows.output_masks[rows.number_of(block)] == 0
        if not lacks.any():
            raise ValueError(f"Block {block!r} has every feature: there is nothing to impute.")
        return self._decode(rows, block, lacks, as_covariate)

    def generate(
        self, rows: Rows, block: str, modality: str, as_covariate: str | None = None
    ) -> pd.DataFrame:
        """Decode a whole modality from the one that a block reads.

        Parameters
        ----------
        rows, block, as_covariate
            As for :meth:`impute`.
        modality
            What to generate.

        Returns
        -------
        pandas.DataFrame
            Cells of the block x features of the modality.

        Raises
        ------
        RuntimeError, ValueError
            As :meth:`latent`; an unknown modality or covariate; no row of :meth:`fit` was judged by the
            modality.
        """
        self._check_rows(rows)
        modality = str(modality)  # names are text, also where var has numbers
        if modality not in self.modalities:
            known = list(dict.fromkeys(self.modalities))
            raise ValueError(f"modality={modality!r} is unknown; choose one of {known}.")
        return self._decode(rows, block, np.array(self.modalities) == modality, as_covariate)

    def _decode(self, rows: Rows, block: str, features: np.ndarray, as_covariate) -> pd.DataFrame:
        if as_covariate is not None:
            as_covariate = self._known_covariate(as_covariate, "as_covariate", "choose one of")
        never = features & ~self.was_judged
        if never.any():
            raise ValueError(
                f"No row of fit() was judged by {int(never.sum())} of these features, the first is "
                f"{self.features[never.argmax()]!r}: the decoder never learnt them. Fit rows with a "
                "block that is judged by them."
            )
        cells = rows.of_block(block)
        codes = rows.covariate[cells]
        if as_covariate is not None:
            codes = np.full(len(cells), self.covariate_names.index(as_covariate))
        latent = self.latent(rows, block) + self._yh(codes)
        starts = range(0, max(len(cells), 1), BLOCK)  # all features of a block of cells at a time
        parts = [run(self.decoder, latent[i : i + BLOCK])[:, features] for i in starts]
        decoded = np.concatenate(parts)
        names = np.array(self.features)[features]
        return pd.DataFrame(decoded, [rows.cells[cell] for cell in cells], names)

    def _yh(self, codes: np.ndarray) -> np.ndarray:
        """Embedding of each covariate, one row per code."""
        return run(self.covariates, np.eye(len(self.covariate_names), dtype="float32"))[codes]

    # ------------------------------------------------------------ new cells

    def rows_of(
        self, data, covariate: str, modality: str | None = None, modality_key: str | None = None
    ) -> Rows:
        """Rows of new cells, for every method but :meth:`fit`: one block, ``"new"``.

        Parameters
        ----------
        data
            AnnData, path, MuData or a dictionary, with all features of the model that are read.
        covariate
            The fitted covariate (batch) the cells belong to.
        modality
            The one to read; None where the model knows one only.
        modality_key
            Column of ``adata.var`` with the modality; None: an AnnData holds the one to read.

        Raises
        ------
        RuntimeError
            :meth:`fit` has not been called.
        ValueError
            The covariate or the modality is unknown, or features are missing.
        """
        self.check_fitted()
        covariate = self._known_covariate(covariate, "covariate", "fitted are")
        known = list(dict.fromkeys(self.modalities))
        modality = None if modality is None else str(modality)
        if modality is None and len(known) > 1 or modality not in [None, *known]:
            raise ValueError(f"modality={modality!r}: say which one to read, one of {known}.")
        modality = modality or known[0]
        is_read = self.was_read & (np.array(self.modalities) == modality)
        if isinstance(data, AnnData | str | os.PathLike) and modality_key is None:
            data = {modality: data}
        table = read_table(data, "data", modality_key)
        features = pd.MultiIndex.from_arrays([self.modalities, self.features])
        names = {"covariates": self.covariate_names, "labels": self.labels}
        return new_rows(table, features, is_read, self.covariate_names.index(covariate), names)

    # ---------------------------------------------------------- save, load

    def _networks(self) -> dict[str, keras.Model]:
        return {} if self.network is None else {"network": self.network}

    def _state(self) -> dict:
        return {
            "hyperparameters": self.hyperparameters.as_dict(),
            "features": self.features,
            "modalities": self.modalities,
            "labels": self.labels,
            "covariate_names": self.covariate_names,
            "was_read": self.was_read.tolist(),
            "was_judged": self.was_judged.tolist(),
            "history": self.history.to_dict("list"),
        }

    @classmethod
    def _expected(cls, state: dict) -> dict[str, Widths]:
        features, code = len(state["features"]), state["hyperparameters"]["latent_dim"]
        covariates = len(state["covariate_names"])
        return {"network": ([features, features, features, covariates, code], None)}

    @classmethod
    def _restored(cls, networks: dict[str, keras.Model], state: dict) -> "InClust":
        model = cls(**state["hyperparameters"])
        model.network, model.history = networks["network"], pd.DataFrame(state["history"])
        model.was_read = np.array(state["was_read"])
        # Versions before kept no word of it.
        model.was_judged = np.array(state.get("was_judged", [True] * len(model.was_read)))
        for name in ("features", "modalities", "labels", "covariate_names"):
            setattr(model, name, state[name])
        return model

    # -------------------------------------------------------------- checks

    def _known_covariate(self, covariate: str, argument: str, told: str) -> str:
        """A covariate by its name, a number as the model names it."""
        name = known_name(covariate, self.covariate_names)
        if name not in self.covariate_names:
            raise ValueError(f"{argument}={covariate!r} is unknown; {told} {self.covariate_names}.")
        return name

    def _check_kind(self, rows: Rows) -> None:
        if not isinstance(rows, Rows):
            raise TypeError(
                f"rows={type(rows).__name__} are no rows: build them with a task function such as "
                "imap_keras.inclust.imputation, or, of new cells, with rows_of()."
            )

    def _check_rows(self, rows: Rows) -> None:
        self.check_fitted()
        self._check_kind(rows)
        for what, own, other in (
            ("features", self.features, rows.features),
            ("modalities", self.modalities, rows.modalities),
            ("covariates", self.covariate_names, rows.covariates),
        ):
            if own != list(other):
                raise ValueError(
                    f"These rows have other {what} than those of fit() ({len(other)} and {len(own)}). "
                    "Build them from the same data sets, or with rows_of()."
                )
