"""``imap-keras map``: new batches onto a saved iMAP or scArches reference."""

import argparse
import json
import warnings
from collections.abc import Callable
from pathlib import Path

from anndata import AnnData

from ..imap.model import IMAP
from ..inputs.expression import COUNTS
from ..inputs.files import path_of
from ..inputs.labels import obs_column
from ..nn.persistence import DESCRIPTION, write_whole
from ..preprocessing.preprocess import MIN_GENES, preprocess
from ..scarches import Reference
from .finding import find_expression, is_prepared, with_counts
from .integrating import say_warnings
from .joining import names_of
from .outputs import WrongCall, check_outputs, check_writable
from .reading import read_cells


def map_query(options: argparse.Namespace, say: Callable = print) -> int:
    """Run the verb; 0 when done.

    Raises
    ------
    WrongCall
        The folder is no saved model that can map, or `--reference` is missing or out of place.
    FileNotFoundError, KeyError, ValueError
        The model or a file is damaged, or what they hold does not fit together.
    """
    check_outputs(options.output, inputs=[*options.files, options.reference])
    kind = kind_of_model(options.model)
    if kind == "imap" and options.reference is None:
        raise WrongCall("A saved iMAP keeps no cells: name the file it was fitted on, --reference.")
    if kind == "scarches" and options.reference is not None:
        raise WrongCall("A scArches reference maps without its cells: leave --reference out.")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        through = through_imap if kind == "imap" else through_scarches
        mapped, sentence = through(options, say)
    say_warnings(caught, say)
    write_whole(options.output, mapped.write_h5ad)
    say(f"Wrote {options.output}: {sentence}")
    return 0


def kind_of_model(folder: Path) -> str:
    """Kind of a saved model that can map.

    Raises
    ------
    WrongCall
        There is no model, or one of a kind that cannot map.
    ValueError
        The description is damaged.
    """
    description = folder / DESCRIPTION
    if not description.is_file():
        raise WrongCall(f"{folder} is not a saved model: it has no {DESCRIPTION}.")
    try:
        kind = json.loads(description.read_bytes())["kind"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{description} is damaged; save the model again.") from error
    if kind not in ("imap", "scarches"):
        raise WrongCall(f"{folder} holds a model of kind {kind!r}; iMAP and scArches can map.")
    return kind


def through_imap(options: argparse.Namespace, say: Callable) -> tuple[AnnData, str]:
    """The query as iMAP carries it onto its reference cells, and what lies where."""
    model = IMAP.load(options.model)
    batch_key = options.batch_key or model.batch_key
    query = read_query(options, batch_key, say)
    reference = read_cells([options.reference], batch_key, options.modality, say)
    obs_column(reference.obs, batch_key, what=f"adata.obs of {options.reference}")
    query, reference = (
        prepared(adata, model, batch_key, options.min_genes, what, say)
        for adata, what in ((query, "the query"), (reference, "the reference"))
    )
    check_writable(query)
    mapped = model.map_query(query, reference, batch_key)
    return mapped, "obsm['X_imap'] lies in the space of the reference, layers['imap'] has its genes."


def through_scarches(options: argparse.Namespace, say: Callable) -> tuple[AnnData, str]:
    """The query with its place in the grown reference, and what lies where."""
    reference = Reference.load(options.model)
    batch_key = options.batch_key or reference.batch_key
    query = read_query(options, batch_key, say)
    if reference.hyperparameters.likelihood == "mse":
        cells = query = prepared(query, reference, batch_key, options.min_genes, "the query", say)
    else:
        found = find_expression(query)
        cells = with_counts(query, found) if found.kind == COUNTS else query
    check_writable(query)
    grown = reference.map_query(cells, batch_key)
    query.obsm["X_scarches"] = grown.latent(cells, batch_key)
    return query, "obsm['X_scarches'] is the latent of the reference."


def read_query(options: argparse.Namespace, batch_key: str, say: Callable) -> AnnData:
    """The new cells; where one file lacks the column, it names the batch, as each of several does."""
    query = read_cells(options.files, batch_key, options.modality, say)
    if batch_key not in query.obs:
        (name,) = names_of([path_of(file) for file in options.files])
        query.obs[batch_key] = name
        say(f"obs has no column {batch_key!r}, so that the file names the batch: {name!r}.")
    return query


def prepared(
    adata: AnnData,
    model: IMAP | Reference,
    batch_key: str,
    min_genes: int | None,
    what: str,
    say: Callable,
) -> AnnData:
    """Log-normalised cells in the model's genes: from counts, or as `preprocess` left them.

    Cells that `preprocess` made, or `integrate` wrote, keep their values, see
    :func:`imap_keras.command.finding.is_prepared`. Without `min_genes` the bound is that of the fit.
    """
    genes = set(adata.var_names.astype(str))
    if genes.issuperset(model.genes) and is_prepared(adata):
        return adata
    found = find_expression(adata)
    cells = with_counts(adata, found)
    if found.kind != COUNTS:
        return cells
    if min_genes is None:
        min_genes = model.preprocessing.get("min_genes", MIN_GENES)
    cells = preprocess(cells, batch_key, genes=model, min_genes=min_genes, verbose=0)
    dropped = cells.uns["preprocess"]["cells_with_too_few_genes"]
    say(
        f"Preprocessed {what}: {cells.n_obs:,} cells in the model's {cells.n_vars:,} genes "
        f"({cells.uns['preprocess']['genes_missing']} missing, filled with 0); {dropped:,} cells with "
        "too few genes left."
    )
    return cells
