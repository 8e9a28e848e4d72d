"""The trained classifier behind one class: fit, predict, embed, save, load."""

import keras
import numpy as np
import pandas as pd
from anndata import AnnData

from ..inputs.genes import features
from ..inputs.labels import labels_of
from ..nn.estimator import Estimator, Widths, finite
from ..nn.fitting import run
from .homology import finite_expression, moments
from .hyperparameters import Hyperparameters
from .network import hold_out_donors
from .training import build_and_compile, train


class RegionClassifier(Estimator):
    """Learn to name the region of a cell; embed region averages (TransBrain, Nature Methods 2025).

    The defaults are the paper's. "Detached" means one of these for the cortex and one for the
    subcortex.

    Parameters
    ----------
    preset
        ``"default"``, or ``"reference"``: as the published code where it differs from the paper's text.
    hyperparameters
        Any of :class:`imap_keras.regions.Hyperparameters` by name.

    Attributes
    ----------
    network
        Rows x genes -> rows x regions (logits), a Keras functional model.
    genes, regions
        Names of the inputs and of the outputs.
    mean, deviation
        Of each gene over the training rows: the scaler.
    held_out
        Rows of the data that validated, True or False.
    history
        Losses, accuracies and learning rate, one row an epoch.
    best_epoch
        The epoch whose weights were kept, from 1.
    validation_loss, validation_accuracy
        Of that epoch.

    Raises
    ------
    ValueError, TypeError
        A hyperparameter is out of range or unknown.

    References
    ----------
    https://doi.org/10.1038/s41592-025-02961-3, Methods.

    Examples
    --------
    >>> from imap_keras.regions import RegionClassifier, region_averages, simulate_species
    >>> human, mouse = simulate_species("subcortex", n_cells=220, n_genes=30, n_donors=5)
    >>> model = RegionClassifier(hidden=(16, 8), epochs=2).fit(human, verbose=0)
    >>> model.embed(region_averages(mouse)).shape
    (29, 8)
    """

    kind = "region_classifier"
    how_to_fit = "fit(adata)"

    def __init__(self, preset: str = "default", **hyperparameters):
        self.hyperparameters = Hyperparameters.of(preset, **hyperparameters)
        self.network: keras.Model | None = None

    def fit(
        self, adata: AnnData, region_key: str = "region", donor_key: str = "donor", verbose: int = 1
    ) -> "RegionClassifier":
        """Train on the cells of one species.

        Parameters
        ----------
        adata
            Cells x genes, normalised; negative values are fine. Not changed.
        region_key, donor_key
            Columns of ``adata.obs``.
        verbose
            0 shows no progress bar.

        Raises
        ------
        KeyError
            A column is missing.
        ValueError
            A value is NaN or infinite; a name is used twice; one region only; a region has too few
            donors for the split.
        FloatingPointError
            Training diverged.
        """
        hp = self.hyperparameters
        labels = labels_of(adata, region_key, "region_key")
        donors = labels_of(adata, donor_key, "donor_key")
        # In the data's order of appearance, which is anatomical where the data are.
        regions = list(dict.fromkeys(labels.tolist()))
        if len(regions) < 2:
            raise ValueError(f"All rows are of region {regions[0]!r}; at least two are needed.")
        held_out = hold_out_donors(labels, donors, hp.validation_share, hp.seed)
        cells = finite_expression(adata)

        mean, deviation = (moment.astype("float32") for moment in moments(cells[~held_out]))
        scaled, codes = (cells - mean) / deviation, pd.Index(regions).get_indexer(labels)
        network = build_and_compile(adata.n_vars, len(regions), hp)
        history, kept = train(network, scaled, codes.astype("int32"), held_out, hp, verbose)

        # Nothing of an earlier fit is replaced before this one has succeeded.
        self.network, self.history = network, history
        self.genes, self.regions = [str(name) for name in adata.var_names], regions
        self.mean, self.deviation, self.held_out = mean, deviation, held_out
        self.best_epoch = kept
        return self

    @property
    def validation_loss(self) -> float:
        return self._kept("val_loss")

    @property
    def validation_accuracy(self) -> float:
        return self._kept("val_accuracy")

    def predict(self, adata: AnnData) -> np.ndarray:
        """Name the most likely region of each row of new data of the same species.

        Parameters
        ----------
        adata
            Rows x genes; the fitted genes are found by their names, further ones left out.

        Raises
        ------
        NotFittedError
            :meth:`fit` has not been called.
        ValueError
            A fitted gene is missing; a value is NaN or infinite; a name is used twice.
        """
        self.check_fitted()
        if adata.isbacked and adata.is_view:  # of which anndata takes no part
            adata = adata.to_memory()
        known, _ = features(adata, self.genes)
        scaled = (finite_expression(known) - self.mean) / self.deviation
        return np.array(self.regions)[run(self.network, scaled).argmax(axis=1)]

    def embed(self, averages: pd.DataFrame) -> pd.DataFrame:
        """Activations of the last hidden layer, dropout off.

        Parameters
        ----------
        averages
            Regions x genes of either species, standardised: :func:`imap_keras.regions.region_averages`.

        Returns
        -------
        pandas.DataFrame
            Regions x units.

        Raises
        ------
        NotFittedError, ValueError
            As :meth:`predict`.
        """
        self.check_fitted()
        names = (pd.DataFrame(index=axis.astype(str)) for axis in averages.axes)
        known, _ = features(AnnData(averages.to_numpy("float32"), *names), self.genes)
        layer = self.network.get_layer("embedding")
        embedder = keras.Model(self.network.inputs[0], layer.output, name="embedder")
        return pd.DataFrame(run(embedder, finite_expression(known)), averages.index)

    def _kept(self, column: str) -> float:
        self.check_fitted()
        return float(self.history[column].iloc[self.best_epoch - 1])

    def _networks(self) -> dict[str, keras.Model]:
        return {} if self.network is None else {"classifier": self.network}

    def _state(self) -> dict:
        return {
            "hyperparameters": self.hyperparameters.as_dict(),
            "genes": self.genes,
            "regions": self.regions,
            "mean": self.mean.astype(float).tolist(),
            "deviation": self.deviation.astype(float).tolist(),
            "held_out": np.flatnonzero(self.held_out).tolist(),
            "n_rows": len(self.held_out),
            "best_epoch": self.best_epoch,
            "history": self.history.to_dict("list"),
        }

    @classmethod
    def _expected(cls, state: dict) -> dict[str, Widths]:
        return {"classifier": ([len(state["genes"])], [len(state["regions"])])}

    @classmethod
    def _restored(cls, networks: dict[str, keras.Model], state: dict) -> "RegionClassifier":
        # Version 0.1.0 wrote them under "settings".
        model = cls(**state.get("hyperparameters", state.get("settings", {})))
        model.network, model.genes, model.regions = (
            networks["classifier"],
            state["genes"],
            state["regions"],
        )
        model.mean, model.deviation = (
            finite(state, key, len(model.genes)).astype("float32") for key in ("mean", "deviation")
        )
        model.held_out = np.isin(np.arange(state["n_rows"]), state["held_out"])
        model.history, model.best_epoch = pd.DataFrame(state["history"]), state["best_epoch"]
        return model
