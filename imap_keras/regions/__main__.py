"""Region embeddings of your own files: ``python -m imap_keras.regions -n 10 -g_path genes.csv ...``."""

import argparse
import sys
from pathlib import Path

import numpy as np

from ..inputs.labels import labels_of
from .files import check_units, read_expression, read_genes, read_pairs, select_genes
from .homology import chance_rank, region_averages
from .repeats import run_repeats


def parser() -> argparse.ArgumentParser:
    """The arguments: TransBrain's short forms, readable long ones."""
    result = argparse.ArgumentParser(
        prog="python -m imap_keras.regions",
        description="Train region classifiers on the cells of one species, embed the region averages "
        "of human and mouse, and rank homologous regions. An interrupted run goes on where it stopped.",
        allow_abbrev=False,
    )
    add = result.add_argument
    add("-n", "--repeats", type=int, default=10, help="classifiers to train, each with its own seed")
    add("-iu", "--input-units", type=int, help="genes; counted if left out, checked if given")
    add("-ou", "--output-units", type=int, help="regions; counted if left out, checked if given")
    add("-g_path", "--genes", type=Path, required=True, help="csv with a column genes")
    add("-d_path", "--data", type=Path, required=True, help="cells to train on, h5ad or csv")
    add("-s_path", "--save", type=Path, required=True, help="folder for models and tables")
    add("-m_trans_path", "--mouse", type=Path, required=True, help="mouse expression, h5ad or csv")
    add("-h_trans_path", "--human", type=Path, required=True, help="human expression, h5ad or csv")
    add("-hm_path", "--pairs", type=Path, required=True, help="csv with human_region, mouse_region")
    add("--region-key", default="region", help="column that names the region")
    add("--donor-key", default="donor", help="column that names the donor")
    add("--epochs", type=int, default=50, help="most epochs of a classifier")
    add("--learning-rate", type=float, default=6e-5, help="AdamW's")
    add("--seed", type=int, default=0, help="of the first repeat")
    add("--quiet", action="store_true", help="without progress bar")
    return result


def main(arguments: list[str] | None = None) -> int:
    """Run the repeats and print the score; returns 1 with one line of explanation for bad input."""
    options = parser().parse_args(arguments)
    key = options.region_key
    try:
        genes, pairs = read_genes(options.genes), read_pairs(options.pairs)
        cells = select_genes(read_expression(options.data, (key, options.donor_key)), genes, "The data")
        labels = labels_of(cells, key, "--region-key")
        labels_of(cells, options.donor_key, "--donor-key")
        check_units(options.input_units, options.output_units, genes, labels)
        human, mouse = (
            region_averages(select_genes(read_expression(path, (key,)), genes, what), key)
            for path, what in (
                (options.human, "The human matrix"),
                (options.mouse, "The mouse matrix"),
            )
        )
        tables = run_repeats(
            cells,
            human,
            mouse,
            pairs,
            options.save,
            options.repeats,
            key,
            options.donor_key,
            options.seed,
            verbose=not options.quiet,
            epochs=options.epochs,
            learning_rate=options.learning_rate,
        )
    except (OSError, ValueError, KeyError, FloatingPointError) as error:
        print(f"error: {error.args[0] if isinstance(error, KeyError) else error}", file=sys.stderr)
        return 1
    repeats = tables["repeats"]
    spread = repeats["mean_rank"].std() if len(repeats) > 1 else float("nan")
    n_regions = len(np.unique(labels))
    print(
        f"validation accuracy {repeats['validation_accuracy'].mean():.3f}, "
        f"chance {1 / n_regions:.3f}\n"
        f"mean rank of {len(pairs)} homologous pairs among {len(human)} human regions: "
        f"{repeats['mean_rank'].mean():.2f}, spread {spread:.2f} over {len(repeats)} repeats\n"
        f"raw expression {tables['ranking']['raw_rank'].mean():.2f}, "
        f"chance {chance_rank(len(human)):.1f}\n"
        f"Models, embeddings, correlation_map.csv, ranking.csv and repeats.csv are in {options.save}."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
