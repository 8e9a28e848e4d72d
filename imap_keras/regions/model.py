"""The trained classifier behind one class: fit, predict, embed, save, load."""

from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import pandas as pd
from anndata import AnnData

from ..inputs.labels import labels_of
from ..nn.callbacks import BestEpoch
from ..nn.fitting import fit_network, run
from ..nn.parameters import check_count, check_number, check_widths
from ..nn.persistence import load_models, save_models
from .homology import finite_expression
from .network import build_region_classifier, hold_out_donors, shuffled_rows, step_schedule

KIND = "region_classifier"


class RegionClassifier:
    """Learn to name the region of a cell; embed region averages (TransBrain, Nature Methods 2025).

    The defaults are the paper's. "Detached" means one of these for the cortex and one for the
    subcortex.

    Parameters
    ----------
    hidden
        Widths of the hidden layers; the last one is the embedding.
    dropout
        Share of hidden units dropped in training.
    learning_rate, decay, decay_every
        AdamW's learning rate, times `decay` every `decay_every` epochs.
    weight_decay
        AdamW's.
    batch_size, epochs
        Rows a step and most epochs.
    patience
        Epochs without a lower validation loss after which training stops. The best epoch is kept.
    validation_share
        Share of each region's donors that validate.
    seed
        Of the split, the starting weights, the order of rows and the dropout.

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
    best_epoch, validation_loss, validation_accuracy
        Of the epoch whose weights were kept.

    Raises
    ------
    ValueError
        A number is out of range.

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

    def __init__(
        self,
        hidden: Sequence[int] = (500, 500, 500),
        dropout: float = 0.1,
        learning_rate: float = 6e-5,
        decay: float = 0.8,
        decay_every: int = 20,
        weight_decay: float = 1e-6,
        batch_size: int = 256,
        epochs: int = 50,
        patience: int = 5,
        validation_share: float = 0.1,
        seed: int = 0,
    ):
        self.settings = {
            "hidden": check_widths("hidden", hidden),
            "dropout": check_number("dropout", dropout, "0 or more and below 1"),
            "learning_rate": check_number("learning_rate", learning_rate, "above 0"),
            "decay": check_number("decay", decay, "above 0 and at most 1"),
            "decay_every": check_count("decay_every", decay_every),
            "weight_decay": check_number("weight_decay", weight_decay),
            "batch_size": check_count("batch_size", batch_size),
            "epochs": check_count("epochs", epochs),
            "patience": check_count("patience", patience),
            "validation_share": check_number(
                "validation_share", validation_share, "above 0 and below 1"
            ),
            "seed": check_count("seed", seed, least=0),
        }
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
            A value is NaN or infinite; one region only; a region has too few donors for the split.
        FloatingPointError
            Training diverged.
        """
        labels = labels_of(adata, region_key, "region_key")
        donors = labels_of(adata, donor_key, "donor_key")
        given, cells = self.settings, finite_expression(adata)
        # In the data's order of appearance, which is anatomical where the data are.
        regions = list(dict.fromkeys(labels.tolist()))
        if len(regions) < 2:
            raise ValueError(f"All rows are of region {regions[0]!r}; at least two are needed.")
        held_out = hold_out_donors(labels, donors, given["validation_share"], given["seed"])
        codes = pd.Index(regions).get_indexer(labels)

        mean, deviation = cells[~held_out].mean(axis=0), cells[~held_out].std(axis=0)
        deviation = np.where(deviation > 0, deviation, 1).astype("float32")
        scaled = (cells - mean) / deviation
        network = build_region_classifier(
            adata.n_vars, len(regions), given["hidden"], given["dropout"], given["seed"]
        )
        network.compile(
            keras.optimizers.AdamW(
                given["learning_rate"],
                weight_decay=given["weight_decay"],
                epsilon=1e-8,
                name="regions_adamw",
            ),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True, name="cross_entropy"),
            metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
        )
        schedule = [given[name] for name in ("learning_rate", "decay", "decay_every")]
        best = BestEpoch(given["patience"])
        self.history = fit_network(
            network,
            shuffled_rows(scaled[~held_out], codes[~held_out], given["batch_size"], given["seed"]),
            given["epochs"],
            "the region classifier",
            verbose=verbose,
            callbacks=[
                keras.callbacks.LearningRateScheduler(lambda epoch: step_schedule(epoch, *schedule)),
                best,
            ],
            validation=(scaled[held_out], codes[held_out]),
            validation_batch_size=1024,
            some=(scaled[:1], codes[:1]),
        )
        self.history["learning_rate"] = [step_schedule(i, *schedule) for i in range(len(self.history))]
        self.network, self.regions, self.genes = (
            network,
            regions,
            [str(name) for name in adata.var_names],
        )
        self.mean, self.deviation, self.held_out = mean, deviation, held_out
        self.best_epoch = best.epoch + 1
        kept = self.history.iloc[best.epoch]
        self.validation_loss, self.validation_accuracy = kept["val_loss"], kept["val_accuracy"]
        return self

    def predict(self, adata: AnnData) -> np.ndarray:
        """Name the most likely region of each row of new data of the same species.

        Raises
        ------
        RuntimeError
            :meth:`fit` has not been called.
        ValueError
            The genes differ from the fitted ones; a value is NaN or infinite.
        """
        self._check(adata.var_names)
        scaled = (finite_expression(adata) - self.mean) / self.deviation
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
        RuntimeError, ValueError
            As :meth:`predict`.
        """
        self._check(averages.columns)
        layer = self.network.get_layer("embedding")
        embedder = keras.Model(self.network.inputs[0], layer.output, name="embedder")
        return pd.DataFrame(run(embedder, averages.to_numpy("float32")), averages.index)

    def save(self, folder: str | Path, **notes) -> None:
        """Write a Keras file and one JSON; `notes` are kept with them.

        Raises
        ------
        RuntimeError
            :meth:`fit` has not been called.
        """
        self._check_fitted()
        info = {
            "settings": self.settings,
            "genes": self.genes,
            "regions": self.regions,
            "mean": np.asarray(self.mean, float).tolist(),
            "deviation": np.asarray(self.deviation, float).tolist(),
            "held_out": np.flatnonzero(self.held_out).tolist(),
            "n_rows": len(self.held_out),
            "best_epoch": self.best_epoch,
            "history": self.history.to_dict("list"),
            "notes": notes,
        }
        save_models(folder, KIND, {"classifier": self.network}, info)

    @classmethod
    def load(cls, folder: str | Path) -> "RegionClassifier":
        """Read a classifier that :meth:`save` wrote.

        Raises
        ------
        FileNotFoundError, ValueError
            The folder is not a saved classifier, or a file of it is missing or damaged.
        """
        models, info = load_models(folder, KIND)
        model = cls(**info["settings"])
        model.network, model.genes, model.regions = models["classifier"], info["genes"], info["regions"]
        model.mean, model.deviation = (np.array(info[key], "float32") for key in ("mean", "deviation"))
        model.held_out = np.isin(np.arange(info["n_rows"]), info["held_out"])
        model.history, model.best_epoch = pd.DataFrame(info["history"]), info["best_epoch"]
        kept = model.history.iloc[model.best_epoch - 1]
        model.validation_loss, model.validation_accuracy = kept["val_loss"], kept["val_accuracy"]
        return model

    def _check_fitted(self) -> None:
        if self.network is None:
            raise RuntimeError("This RegionClassifier is not fitted yet; call fit(adata) first.")

    def _check(self, genes: Sequence[str]) -> None:
        self._check_fitted()
        if list(map(str, genes)) != self.genes:
            missing = [name for name in self.genes if name not in set(map(str, genes))]
            which = (
                f"missing are {len(missing)}, the first {missing[0]!r}"
                if missing
                else ("they are in another order or more; select and order them as model.genes")
            )
            raise ValueError(
                f"The data have {len(genes)} genes, the classifier was fitted on {len(self.genes)} and "
                f"needs the same in the same order: {which}."
            )
