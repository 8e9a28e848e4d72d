"""The same cells in memory, backed, in a zarr store and in Dask chunks: are they corrected alike?

    python benchmarks/four_ways.py

20,000 simulated cells (2,000 genes, 8 % of the values above 0, four batches), full widths, few steps.
Prints, for each way, the largest difference of corrected expression and components from those of the
cells in memory, beside the spread of both.
"""

import argparse
import tempfile
from pathlib import Path

import anndata
import dask.array
import numpy as np
import pandas as pd
from scale import N_GENES, simulate
from scipy import sparse

from imap_keras import IMAP
from imap_keras.inputs.values import dense


def four_ways(folder: Path, n_cells: int) -> dict:
    """What `fit` and `transform` are told, by the name of the way."""
    path = folder / "cells.h5ad"
    simulate(path, n_cells, 4, N_GENES)
    cells = anndata.read_h5ad(path)
    cells.write_zarr(folder / "cells.zarr")
    chunked = cells.copy()
    whole = dask.array.from_array(cells.X.toarray(), chunks=(4096, -1))
    chunked.X = whole.map_blocks(sparse.csr_matrix)
    backed = anndata.read_h5ad(path, backed="r")
    return {"memory": cells, "backed": backed, "zarr": folder / "cells.zarr", "Dask": chunked}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=20_000)
    parser.add_argument("--epochs", type=int, default=2, help="of either stage")
    arguments = parser.parse_args()
    epochs = {"stage1_epochs": arguments.epochs, "stage2_epochs": arguments.epochs, "average_epochs": 1}
    first = None
    with tempfile.TemporaryDirectory() as folder:
        for name, cells in four_ways(Path(folder), arguments.cells).items():
            model = IMAP(seed=0, **epochs).fit(cells, verbose=0)
            out = Path(folder) / f"{name}.zarr"
            model.transform(cells, out=out, keep=("X_imap", "imap"), verbose=0)
            done = anndata.read_zarr(out)
            found = {"expression": dense(done.layers["imap"]), "components": done.obsm["X_imap"]}
            first = first or found
            row = {"cells": name, "pairs": len(np.concatenate(list(model.pairs.values())))}
            for what, values in found.items():
                row[f"{what}, largest difference"] = np.abs(values - first[what]).max()
                row[f"{what}, spread"] = values.std()
            print(pd.DataFrame([row]).to_string(index=False), flush=True)


if __name__ == "__main__":
    main()
