"""One code for many modalities behind one class: fit, then latent, reconstruct, errors."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import keras
import numpy as np
import pandas as pd

from ..inputs.modalities import parts_of
from ..nn.estimator import Estimator, Widths
from ..nn.fitting import run
from ..nn.rows import hold_out
from .hyperparameters import Hyperparameters, Modality
from .losses import LOSSES
from .modalities import Measured, read_modalities
from .network import encoder_of, layer_names
from .training import check_trained_on, train


class MultiOmics(Estimator):
    """Join any number of modalities of the same cells in one code.

    Each feature is centred and each modality divided by one number, so that large components stay
    large; features in different units have to be scaled before.

    Parameters
    ----------
    modalities
        By name, a :class:`imap_keras.omics.Modality`, or the name of its loss alone. Any name will do,
        ``"ADT (µ)"`` too.
    hyperparameters
        Any of :class:`imap_keras.omics.Hyperparameters` by name.

    Attributes
    ----------
    network
        The Keras model; ``encoder`` is its part up to the code. Its inputs and layers are named by
        :func:`imap_keras.omics.network.layer_names`.
    history
        Table of the losses by modality, epoch by epoch; ``val_`` on the cells held out.
    held_out
        Names of those cells.

    Raises
    ------
    ValueError, TypeError
        A hyperparameter is out of range or unknown; no modality, or a name that no file can hold.

    References
    ----------
    Ngiam et al., ICML 2011 (one code for several modalities); Vincent et al., ICML 2008 (hidden
    inputs).

    Examples
    --------
    >>> from imap_keras.datasets import simulate_modalities
    >>> from imap_keras.omics import Modality, MultiOmics
    >>> cells = simulate_modalities(40, {"rna": 9, "protein": 5})
    >>> model = MultiOmics({"rna": "mse", "protein": Modality(width=4)}, latent_dim=3, epochs=1)
    >>> rna = model.fit(cells, verbose=0).latent({"rna": cells["rna"]})
    >>> rna.shape
    (40, 3)
    """

    kind = "omics"
    how_to_fit = "fit(data)"

    def __init__(self, modalities: Mapping[str, Modality | str], **hyperparameters):
        if not isinstance(modalities, Mapping) or not len(modalities):
            raise ValueError(
                f"modalities={modalities!r} must name at least one modality and its loss, such as "
                '{"rna": "mse", "methylation": "bce"}.'
            )
        for name, spec in modalities.items():
            if not isinstance(spec, str | Modality):
                raise TypeError(
                    f"modalities[{name!r}]={spec!r} must be the name of a loss or a Modality, such as "
                    'Modality("mse", width=30).'
                )
        self.specs = {
            str(name): Modality(spec) if isinstance(spec, str) else spec
            for name, spec in modalities.items()
        }
        check_modality_names([str(name) for name in modalities])
        self._layers = layer_names(self.specs)
        self.hyperparameters = Hyperparameters.of(**hyperparameters)
        self.network: keras.Model | None = None

    # ------------------------------------------------------------------ fit

    def fit(self, data, verbose: int = 1) -> "MultiOmics":
        """Train on cells with every modality of the model, NaN where something was not measured.

        Parameters
        ----------
        data
            MuData, or a dictionary of AnnData by modality, of the same cells.
        verbose
            0 shows no progress bar.

        Returns
        -------
        MultiOmics
            Itself.

        Raises
        ------
        TypeError, ValueError
            See :func:`imap_keras.omics.modalities.read_modalities`; fewer than 10 cells.
        FloatingPointError
            Training diverged.
        """
        cells = read_modalities(data, self.specs)
        if len(cells.names) < 10:
            raise ValueError(
                f"data holds {len(cells.names)} cells; at least 10 are needed to train on."
            )
        hp = self.hyperparameters
        inside, held_out = hold_out(len(cells.names), hp.validation, hp.seed)
        training = {name: table[inside] for name, table in cells.values.items()}
        watched = {name: table[held_out] for name, table in cells.values.items()}
        check_trained_on(training, cells.features)
        network, history = train(
            self._by_layer(training), self._by_layer(watched), self._by_layer(self.specs), hp, verbose
        )
        # Nothing of an earlier fit is replaced before this one has succeeded.
        self.means = {name: np.nanmean(table, axis=0, dtype=float) for name, table in training.items()}
        self.features = cells.features
        self.held_out = [cells.names[i] for i in held_out]
        own = {
            f"{part}{layer}_loss": f"{part}{name}_loss"
            for name, layer in self._layers.items()
            for part in ("", "val_")
        }
        self.network, self.history = network, history.rename(columns=own)
        return self

    def _by_layer(self, by_modality: Mapping) -> dict:
        """The same under the names that the network knows."""
        return {self._layers[name]: value for name, value in by_modality.items()}

    @property
    def encoder(self) -> keras.Model:
        """The network up to the joint code.

        Raises
        ------
        RuntimeError
            :meth:`fit` has not been called.
        """
        self.check_fitted()
        return encoder_of(self.network)

    # ------------------------------------------------------------ what comes out

    def latent(self, data) -> np.ndarray:
        """The joint code of cells; modalities that are not handed in count as not measured.

        Parameters
        ----------
        data
            As for :meth:`fit`, with some or all of the modalities.

        Returns
        -------
        numpy.ndarray
            Cells x latent_dim.

        Raises
        ------
        RuntimeError
            :meth:`fit` has not been called.
        TypeError, ValueError
            As for :meth:`fit`.
        """
        return run(self.encoder, self._by_layer(self._read(data).values))

    def reconstruct(self, data) -> dict[str, pd.DataFrame]:
        """Every modality of cells, decoded from their code: also those that were not measured.

        Parameters
        ----------
        data
            As for :meth:`latent`.

        Returns
        -------
        dict of pandas.DataFrame
            By modality, cells x features.

        Raises
        ------
        RuntimeError, TypeError, ValueError
            As for :meth:`latent`.
        """
        cells = self._read(data)
        rebuilt = run(self.network, self._by_layer(cells.values))
        return {
            name: pd.DataFrame(rebuilt[layer], cells.names, self.features[name])
            for name, layer in self._layers.items()
        }

    def errors(self, data, from_modalities=None) -> pd.DataFrame:
        """Each modality's loss over what was measured, beside that of predicting its mean.

        Parameters
        ----------
        data
            As for :meth:`fit`.
        from_modalities
            Name, or names, of those that the encoders read; None: all.

        Returns
        -------
        pandas.DataFrame
            Modalities x (``error``, ``mean_predictor``, ``ratio``). The mean is that of the cells
            trained on.

        Raises
        ------
        RuntimeError, TypeError, ValueError
            As for :meth:`fit`; an unknown modality.
        """
        truth, seen = self._read(data), data
        if isinstance(from_modalities, str):
            from_modalities = [from_modalities]
        if from_modalities is not None:
            from_modalities = [str(name) for name in from_modalities]
            unknown = [name for name in from_modalities if name not in self.specs]
            if unknown:
                raise ValueError(f"{unknown[0]!r} is no modality; there are {list(self.specs)}.")
            parts = parts_of(data)
            absent = [name for name in from_modalities if name not in parts]
            if absent or not len(from_modalities):
                raise ValueError(
                    f"from_modalities={list(from_modalities)} must name at least one modality of data, "
                    f"and no others: they are read from data, which has {list(parts)}."
                )
            seen = {name: parts[name] for name in from_modalities}
        rebuilt, table = self.reconstruct(seen), {}
        for name, spec in self.specs.items():
            x, loss = truth.values[name], LOSSES[spec.loss].function
            if not np.isfinite(x).any():
                continue
            output = rebuilt[name].loc[truth.names].to_numpy("float32")
            mean = np.broadcast_to(self.means[name].astype("float32"), x.shape)
            table[name] = {"error": float(loss(x, output)), "mean_predictor": float(loss(x, mean))}
        table = pd.DataFrame(table).T
        return table.assign(ratio=table["error"] / table["mean_predictor"])

    def _read(self, data) -> Measured:
        self.check_fitted()
        return read_modalities(data, self.specs, self.features)

    # ---------------------------------------------------------- save, load

    def _networks(self) -> dict[str, keras.Model]:
        return {} if self.network is None else {"network": self.network}

    def _state(self) -> dict:
        return {
            "modalities": {name: asdict(spec) for name, spec in self.specs.items()},
            "hyperparameters": self.hyperparameters.as_dict(),
            "features": self.features,
            "means": {name: mean.tolist() for name, mean in self.means.items()},
            "held_out": self.held_out,
            "history": self.history.to_dict("list"),
        }

    @classmethod
    def _expected(cls, state: dict) -> dict[str, Widths]:
        return {"network": ([len(names) for names in state["features"].values()], None)}

    @classmethod
    def _restored(cls, networks: dict[str, keras.Model], state: dict) -> "MultiOmics":
        specs = {name: Modality(**spec) for name, spec in state["modalities"].items()}
        model = cls(specs, **state["hyperparameters"])
        model.network, model.history = networks["network"], pd.DataFrame(state["history"])
        model.means = {name: np.array(mean) for name, mean in state["means"].items()}
        model.features, model.held_out = state["features"], state["held_out"]
        return model


def check_modality_names(names: Sequence[str]) -> None:
    """Raise if modalities have names that a file or the history cannot tell apart.

    Raises
    ------
    ValueError
        A name is used twice (as text), holds what no file can, or gives a column of the history that
        another one has.

    Examples
    --------
    >>> from imap_keras.omics.model import check_modality_names
    >>> check_modality_names(["gene expression", "ADT (µ)"])
    """
    for name in names:
        if "\0" in name or any("\ud800" <= letter <= "\udfff" for letter in name):
            raise ValueError(
                f"The modality name {name!r} holds a NUL or half a character (a lone surrogate), which "
                "no file can hold; give it another name."
            )
    columns = ["loss", "val_loss"]
    columns += [f"{part}{name}_loss" for name in names for part in ("", "val_")]
    twice = [column for column in columns if columns.count(column) > 1]
    if twice:
        raise ValueError(
            f"The modality names {list(names)} give two columns {twice[0]!r} of the history; "
            "rename one of them."
        )
