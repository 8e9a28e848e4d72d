"""The console script ``imap-keras``."""

import argparse
import runpy
import sys
from importlib.metadata import version

from ..imap.streaming import PLACES
from ..inputs.files import path_of
from ..nn.estimator import NotFittedError
from ..preprocessing.preprocess import MIN_GENES
from .integrating import check, genes_of, integrate, min_genes_of
from .mapping import map_query
from .outputs import WrongCall
from .transforming import transform

DESCRIPTION = """Integrate batches of single cells from the command line.

  imap-keras check mine.h5ad --batch-key donor
  imap-keras integrate mine.h5ad --batch-key donor -o integrated.h5ad --report report.html

Exit codes: 0 done, 1 something failed or stands in the way, 2 wrong call."""


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    formatter = argparse.RawDescriptionHelpFormatter
    top = argparse.ArgumentParser("imap-keras", description=DESCRIPTION, formatter_class=formatter)
    verbs = top.add_subparsers(dest="verb", required=True, metavar="VERB")

    run = verbs.add_parser("integrate", help="integrate the batches of one or several files")
    look = verbs.add_parser("check", help="say what would be done and what stands in the way")
    for verb in (run, look):
        _add_cells(verb)
        verb.add_argument("--batch-key", required=True, help="column of obs that names the batch")
        verb.add_argument("--label-key", help="column of obs with cell types, for the report only")
        verb.add_argument(
            "--genes",
            type=genes_of,
            default=2000,
            help="variable genes to keep of counts (2000), or 'all'; of log values those marked in "
            "var['highly_variable'] are kept, or 'all'",
        )
        verb.add_argument("--preset", default="default", help="'default' or 'reference'")
        verb.add_argument("--seed", type=int, default=0, help="of everything random (0)")
        verb.add_argument(
            "--set",
            action="append",
            default=[],
            metavar="NAME=VALUE",
            help="any hyperparameter of IMAP",
        )
    run.add_argument("--order", nargs="+", help="batches in the order to merge them, the anchor first")
    run.add_argument("-o", "--output", type=path_of, required=True, help="the .h5ad file to write")
    run.add_argument("--report", type=path_of, help="an .html report to write")
    run.add_argument("--model", type=path_of, help="a folder to save the model into")
    run.set_defaults(function=integrate)
    look.set_defaults(function=check)

    mapping = verbs.add_parser("map", help="map new batches onto a saved model")
    mapping.add_argument("model", type=path_of, help="folder of a saved iMAP or scArches reference")
    _add_cells(mapping, min_genes=None)
    mapping.add_argument("--reference", help="the file that iMAP was fitted on, or its result")
    mapping.add_argument("--batch-key", help="column of obs; by default the model's")
    mapping.add_argument("-o", "--output", type=path_of, required=True, help="the .h5ad file to write")
    mapping.set_defaults(function=map_query)

    carry = verbs.add_parser("transform", help="carry cells that stay on disk through a saved iMAP")
    carry.add_argument("model", type=path_of, help="folder of a saved iMAP")
    carry.add_argument("cells", type=path_of, help="log-normalised cells, .h5ad or .zarr")
    carry.add_argument("--batch-key", help="column of obs; by default the model's")
    carry.add_argument(
        "-o", "--out", dest="output", type=path_of, required=True, help="the .zarr or .h5ad to write"
    )
    carry.add_argument("--keep", nargs="+", choices=list(PLACES), default=["X_imap"], help="(X_imap)")
    carry.add_argument("--dtype", choices=["float32", "float16"], default="float32", help="of imap")
    carry.add_argument("--scheduler", metavar="ADDRESS", help="of a Dask cluster, tcp://...")
    carry.set_defaults(function=transform)

    course = verbs.add_parser("course", help="run the course's notebooks", add_help=False)
    course.set_defaults(function=None)
    number = verbs.add_parser("version", help="print the version")
    number.set_defaults(function=print_version)
    return top


def print_version(options: argparse.Namespace) -> int:
    """Print the version of the package."""
    print(f"imap_keras {version('imap_keras')}")
    return 0


def _add_cells(verb: argparse.ArgumentParser, min_genes: int | None = MIN_GENES) -> None:
    verb.add_argument(
        "files", nargs="+", metavar="FILE", help="h5ad, 10x h5 or matrix folder, loom, h5mu"
    )
    verb.add_argument("--modality", default="rna", help="which one of an .h5mu file ('rna')")
    default = min_genes or "as the model's own"
    verb.add_argument(
        "--min-genes",
        type=min_genes_of,
        default=min_genes,
        help=f"leave out cells with fewer genes ({default})",
    )


def main(arguments: list[str] | None = None) -> int:
    """Run a verb; returns 0 when done, 1 when it failed, 2 for a wrong call."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == ["course"]:
        sys.argv = ["imap-keras course", *arguments[1:]]
        try:
            runpy.run_module("imap_keras.course", run_name="__main__")
        except SystemExit as end:
            return int(end.code or 0)
        return 0
    options = parser().parse_args(arguments)
    options.arguments = arguments
    try:
        return options.function(options)
    except WrongCall as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except (
        ArithmeticError,
        ImportError,
        KeyError,
        NotFittedError,
        OSError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as error:
        said = error.args[0] if isinstance(error, KeyError) and error.args else error
        print(f"error: {said}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted; only what is said to be written above is there.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
