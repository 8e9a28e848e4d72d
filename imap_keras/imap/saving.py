"""A fitted IMAP as networks and JSON, and back."""

import keras
import numpy as np
import pandas as pd

from ..nn.estimator import Widths
from .gene_chunks import Chunk
from .spread import Spread


def networks_of(model) -> dict[str, keras.Model]:
    """All networks of an :class:`imap_keras.IMAP` by the name they are saved under; none unfitted."""
    if model.encoder is None:
        return {}
    networks = {
        "encoder": model.encoder,
        "content_decoder": model.content_decoder,
        "batch_decoder": model.batch_decoder,
        "pca": model.pca,
    }
    networks |= {f"generator:{batch}": network for batch, network in model.generators.items()}
    return networks | {
        f"chunk {i}:{batch}": network
        for i, chunk in enumerate(model.chunks)
        for batch, network in chunk.generators.items()
    }


def state_of(model) -> dict:
    """All else that makes an :class:`imap_keras.IMAP`, as JSON can hold it."""
    return {
        "hyperparameters": model.hyperparameters.as_dict(),
        "batch_key": model.batch_key,
        "order": model.order,
        "fitted_batches": model.batch_decoder.input_shape[-1],
        "genes": model.genes,
        "variable_genes": model.variable_genes,
        "chunks": [{"genes": chunk.genes, "scale": chunk.scale} for chunk in model.chunks],
        "scale": model.scale,
        "preprocessing": model.preprocessing,
        "pair_counts": model.pair_counts.to_dict("list"),
        "history": {stage: table.to_dict("list") for stage, table in model.history.items()},
        "spreads": {
            batch: {name: numbers.tolist() for name, numbers in spread._asdict().items()}
            for batch, spread in model.spreads.items()
        },
        "pairs": {batch: pairs.tolist() for batch, pairs in model.pairs.items()},
    }


def widths_of(state: dict) -> dict[str, Widths]:
    """The networks that belong to a state, and the widths of their inputs and outputs."""
    # Early models know one list of genes, and not how many batches were fitted: these alone, and not
    # those mapped later, are what the decoders know.
    genes, batches = len(state.get("variable_genes", state["genes"])), state.get("fitted_batches")
    code = state["hyperparameters"]["latent_dim"]
    carried = [batch for batch in state["order"][1:] if state["pairs"][batch]]
    widths = {
        "encoder": ([genes], [code]),
        "content_decoder": ([code + batches] if batches else None, [genes]),
        "batch_decoder": ([batches] if batches else None, [genes]),
        "pca": ([genes], None),
    }
    widths |= {f"generator:{batch}": ([genes], [genes]) for batch in carried}
    return widths | {
        f"chunk {i}:{batch}": ([len(chunk["genes"])], [len(chunk["genes"])])
        for i, chunk in enumerate(state.get("chunks", []))
        for batch in carried
    }


def restore(model, networks: dict[str, keras.Model], state: dict) -> None:
    """Give a new :class:`imap_keras.IMAP` the networks and the state of a saved one."""
    model.batch_key, model.order = state["batch_key"], state["order"]
    model.genes, model.scale = state["genes"], state["scale"]
    model.variable_genes = state.get("variable_genes", model.genes)
    model.preprocessing = state.get("preprocessing", {})  # version 0.1.0 kept none
    model.pair_counts = pd.DataFrame(state["pair_counts"])
    model.history = {stage: pd.DataFrame(table) for stage, table in state["history"].items()}
    model.pairs = {
        batch: np.array(pairs, int).reshape(-1, 2) for batch, pairs in state["pairs"].items()
    }
    model.spreads = {
        batch: Spread(**{name: np.array(numbers) for name, numbers in spread.items()})
        for batch, spread in state.get("spreads", {}).items()  # early models matched none
    }
    carried = [batch for batch in model.order[1:] if len(model.pairs[batch])]
    model.generators = {batch: networks[f"generator:{batch}"] for batch in carried}
    model.chunks = [
        Chunk(
            chunk["genes"],
            {batch: networks[f"chunk {i}:{batch}"] for batch in carried},
            chunk["scale"],
        )
        for i, chunk in enumerate(state.get("chunks", []))
    ]
    model.encoder, model.pca = networks["encoder"], networks["pca"]
    model.content_decoder = networks["content_decoder"]
    model.batch_decoder = networks["batch_decoder"]
