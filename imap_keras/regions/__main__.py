"""Region embeddings of your own files: ``python -m imap_keras.regions -n 10 -g_path genes.csv ...``."""

import argparse
import sys
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pandas as pd
import tensorflow as tf
from anndata import AnnData

from ..inputs.labels import labels_of
from .files import (
    check_units,
    naming,
    read_expression,
    read_genes,
    read_pairs,
    read_table,
    select_genes,
)
from .homology import chance_rank, check_pairs, finite_expression, region_averages
from .independent import check_known, independent_test, load_repeats
from .options import check_options, hyperparameters_of, parser
from .original import results_folder, write_embeddings, write_test
from .repeats import rank_repeats, train_repeats


def main(arguments: list[str] | None = None) -> int:
    """Run what the options ask for; returns 1 with one line of explanation for bad input."""
    options = parser().parse_args(arguments)
    try:
        check_options(options)
        genes = read_genes(options.genes)
        with device(options.device):
            if options.do_train or options.do_trans:
                embed(options, genes)
            if options.do_independent_test:
                test(options, genes)
    except (OSError, ValueError, KeyError, ImportError, FloatingPointError) as error:
        print(f"error: {error.args[0] if isinstance(error, KeyError) else error}", file=sys.stderr)
        return 1
    return 0


def device(name: str | None):
    """TensorFlow's device of the original's name, cpu or cuda:0 ...

    Raises
    ------
    ValueError
        There is no such device.

    Examples
    --------
    >>> from imap_keras.regions.__main__ import device
    >>> with device("cpu"):
    ...     pass
    """
    if name is None:
        return nullcontext()
    kind, _, number = name.lower().replace("cuda", "gpu").partition(":")
    there = [f"{d.device_type}:{i}".lower() for k in ("CPU", "GPU") for i, d in devices_of(k)]
    wanted = f"{kind}:{number or 0}"
    if wanted not in there:
        raise ValueError(f"-d (--device) is {name!r}; TensorFlow sees {', '.join(there)} here.")
    return tf.device(f"/{wanted}")


def devices_of(kind: str):
    return enumerate(tf.config.list_physical_devices(kind))


def cells_of(options: argparse.Namespace, path: Path, genes: list[str], what: str) -> AnnData:
    """Rows to train on, checked: labels, genes, finite values, widths of the network."""
    region, donor = options.region_key, options.donor_key
    cells = read_expression(path, region, donor)
    with naming(path):
        cells = select_genes(cells, genes, what)
        labels = labels_of(cells, region, "--region-key")
        labels_of(cells, donor, "--donor-key")
        finite_expression(cells)
    check_units(options.input_units, options.output_units, genes, labels)
    return cells


def averages_of(options: argparse.Namespace, path: Path, genes: list[str], what: str) -> pd.DataFrame:
    """Regions x genes of one species' file."""
    adata = read_expression(path, options.region_key)
    with naming(path):
        return region_averages(select_genes(adata, genes, what), options.region_key)


def trained(options: argparse.Namespace, cells: AnnData, save: Path, averages: dict | None = None):
    """Each repeat's folder and classifier."""
    return train_repeats(
        cells,
        save,
        options.repeats,
        options.region_key,
        options.donor_key,
        options.seed,
        not options.quiet,
        options.do_shuffle,
        averages,
        options.preset,
        **hyperparameters_of(options),
    )


def embed(options: argparse.Namespace, genes: list[str]) -> None:
    """Train, or read what was trained; embed both species and rank the pairs."""
    save, cells, averages = options.save.expanduser(), None, {}
    if options.do_train:
        cells = cells_of(options, options.data, genes, "The data")
    if options.do_trans:
        pairs = read_pairs(options.pairs)
        averages = {
            name: averages_of(options, path, genes, f"The {name} matrix")
            for name, path in (("human", options.human), ("mouse", options.mouse))
        }
        with naming(options.pairs):
            check_pairs(pairs, averages["human"].index, averages["mouse"].index)
    if options.do_train:
        models = trained(options, cells, save, averages)
    else:
        models = load_repeats(save, options.repeats)
    if not options.do_trans:
        accuracy = [model.validation_accuracy for _, model in models]
        print(f"validation accuracy {np.mean(accuracy):.3f}. The classifiers are in {save}.")
        return
    tables = rank_repeats(models, **averages, pairs=pairs, folder=save)
    for i in range(options.repeats):
        place = save / f"repeat_{i:03d}"
        sides = (read_table(place / f"{name}_embedding.csv") for name in ("human", "mouse"))
        write_embeddings(results_folder(save, options.data, i), *sides)
    tell(tables, save)


def test(options: argparse.Namespace, genes: list[str]) -> None:
    """Train on one data set, name the regions of another."""
    save, key = options.independent_save.expanduser(), options.region_key
    cells = cells_of(options, options.independent_data, genes, "The independent data")
    others = read_expression(options.test_data, key)
    with naming(options.test_data):
        others = select_genes(others, genes, "The test data")
        check_known(labels_of(others, key, "--region-key"), labels_of(cells, key))
        finite_expression(others)
    shares = []
    for i, (place, model) in enumerate(trained(options, cells, save)):
        predictions, confusion = independent_test(model, others, key)
        for folder in (place, results_folder(save, options.independent_data, i)):
            write_test(folder, predictions, confusion)
        shares.append((predictions["gt"] == predictions["pred"]).mean())
    spread = np.std(shares, ddof=1) if len(shares) > 1 else np.nan
    print(
        f"independent test: {np.mean(shares):.3f} of {others.n_obs} rows named right, spread "
        f"{spread:.3f} over {len(shares)} repeats, chance {1 / len(model.regions):.3f}\n"
        f"Classifiers, predictions and confusion matrices are in {save}."
    )


def tell(tables: dict[str, pd.DataFrame], save: Path) -> None:
    """Print the score."""
    repeats, ranking = tables["repeats"], tables["ranking"]
    n_human = len(tables["correlation_map"])
    spread = repeats["mean_rank"].std() if len(repeats) > 1 else float("nan")
    print(
        f"validation accuracy {repeats['validation_accuracy'].mean():.3f}, "
        f"chance {1 / repeats['regions'].iloc[0]:.3f}\n"
        f"mean rank of {len(ranking)} homologous pairs among {n_human} human regions: "
        f"{repeats['mean_rank'].mean():.2f}, spread {spread:.2f} over {len(repeats)} repeats\n"
        f"raw expression {ranking['raw_rank'].mean():.2f}, chance {chance_rank(n_human):.1f}\n"
        f"Models, embeddings, correlation_map.csv, ranking.csv and repeats.csv are in {save}."
    )


if __name__ == "__main__":
    sys.exit(main())
