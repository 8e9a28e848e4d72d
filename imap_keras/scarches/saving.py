"""A fitted reference as JSON beside its networks, and back."""

import keras
import numpy as np
import pandas as pd

from ..nn.estimator import Widths
from .classifier import CLASSIFIER


def state_of(reference) -> dict:
    """All but the networks that makes a :class:`imap_keras.scarches.Reference`, as JSON can hold it."""
    points = reference.landmarks
    return {
        "hyperparameters": reference.hyperparameters.as_dict(),
        "batch_key": reference.batch_key,
        "batches": reference.batches,
        "genes": reference.genes,
        "labels": reference.labels,
        "history": reference.history.to_dict("list"),
        "preprocessing": reference.preprocessing,
        "landmarks": points and [points[0].tolist(), points[1]],
    }


def widths_of(state: dict) -> dict[str, Widths]:
    """The networks that belong to a state, and the widths of their inputs and outputs."""
    genes, batches = len(state["genes"]), len(state["batches"])
    code = state["hyperparameters"]["latent_dim"]
    expected = {"encoder": ([genes, batches], [code, code]), "decoder": ([code, batches], None)}
    labels = len(state.get("labels", []))  # version 0.1.0 had no classifier
    return expected | ({CLASSIFIER: ([code], [labels])} if labels else {})


def restore(reference, networks: dict[str, keras.Model], state: dict) -> None:
    """Give a new :class:`imap_keras.scarches.Reference` the networks and the state of a saved one."""
    reference.batch_key, reference.batches = state["batch_key"], state["batches"]
    reference.genes, reference.labels = state["genes"], state.get("labels", [])
    reference._take(networks, pd.DataFrame(state["history"]))
    reference.preprocessing = state.get("preprocessing", {})  # version 0.1.0 kept none
    points, radius = state.get("landmarks") or (None, None)
    reference.landmarks = None if points is None else (np.array(points), radius)
