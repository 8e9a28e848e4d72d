"""``imap-keras transform``: cells that stay on disk through a saved iMAP, here or by a Dask cluster."""

import argparse
import warnings
from collections.abc import Callable

from ..imap.model import IMAP
from ..inputs.cells import open_cells
from ..inputs.writing import SUFFIXES, check_out
from .integrating import say_warnings
from .mapping import kind_of_model
from .outputs import WrongCall, check_outputs


def transform(options: argparse.Namespace, say: Callable = print) -> int:
    """Run the verb; 0 when done.

    Raises
    ------
    WrongCall
        The folder is no saved iMAP; the result is there already, or cannot be written.
    FileNotFoundError, KeyError, ValueError, OSError
        The model or the cells are damaged or do not fit together; the disk has no room; there is no
        cluster.
    """
    out = options.output
    try:
        check_out(out)
        check_outputs(out, suffixes=SUFFIXES)
    except (ValueError, OSError) as error:
        raise WrongCall(str(error)) from error
    if kind_of_model(options.model) != "imap":
        raise WrongCall(f"{options.model} holds no iMAP; transform is for iMAP alone.")
    model, cells = IMAP.load(options.model), open_cells(options.cells)
    say(
        f"Read {options.cells.name}: {len(cells):,} cells x {cells.shape[1]:,} genes; "
        f"{len(model.genes):,} are corrected."
    )
    where = f"by the workers of {options.scheduler}" if options.scheduler else "here"
    say(f"Block by block {where}, into {out}: {', '.join(options.keep)}.")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        model.transform(
            cells,
            options.batch_key,
            out,
            options.keep,
            options.dtype,
            client=options.scheduler,
        )
    say_warnings(caught, say)
    say(f"Wrote {out}.")
    return 0
