"""scvi-tools in its own environment: scVI on one file, or a query mapped onto a scANVI reference.

Run by `peers.py` and `scarches_peers.py`:

    python scvi_tools.py integrate CELLS.h5ad SEED
    python scvi_tools.py surgery REFERENCE.h5ad QUERY.h5ad SEED

Counts lie in ``layers["counts"]``, batches and types in ``obs``. The latent space goes beside the first
file (.npy; of a surgery .npz, with the labels), and what was measured is printed as JSON. scVI has 30
latent dimensions and else its defaults. A reference is trained as scvi-tools' surgery tutorial has it:
scVI, then scANVI for 20 epochs more; the query 100 epochs without weight decay.
"""

import json
import sys
import time
from pathlib import Path

import anndata
import numpy as np
import scvi

UNKNOWN = "Unknown"
# What the tutorial gives a network that is to be grown.
TO_BE_GROWN = {
    "use_layer_norm": "both",
    "use_batch_norm": "none",
    "encode_covariates": True,
    "dropout_rate": 0.2,
    "n_layers": 2,
}
QUIET = {"accelerator": "cpu", "enable_progress_bar": False}


def parameters(model) -> int:
    """Numbers that training may change."""
    return sum(p.numel() for p in model.module.parameters() if p.requires_grad)


def integrate(path: str, seed: str) -> dict:
    """Latent means of scVI."""
    scvi.settings.seed = int(seed)
    adata = anndata.read_h5ad(path)
    start = time.perf_counter()
    scvi.model.SCVI.setup_anndata(adata, layer="counts", batch_key="batch")
    model = scvi.model.SCVI(adata, n_latent=30)
    model.train(**QUIET)
    space = model.get_latent_representation()
    seconds = time.perf_counter() - start
    np.save(Path(path).with_suffix(".npy"), space.astype("float32"))
    return {"seconds": seconds}


def surgery(reference: str, query: str, seed: str) -> dict:
    """Latent means of both sides, and the labels of the query."""
    scvi.settings.seed = int(seed)
    cells, new = anndata.read_h5ad(reference), anndata.read_h5ad(query)
    start = time.perf_counter()
    scvi.model.SCVI.setup_anndata(cells, layer="counts", batch_key="batch")
    plain = scvi.model.SCVI(cells, **TO_BE_GROWN)
    plain.train(**QUIET)
    model = scvi.model.SCANVI.from_scvi_model(plain, unlabeled_category=UNKNOWN, labels_key="cell_type")
    model.train(max_epochs=20, n_samples_per_label=100, **QUIET)
    reference_seconds = time.perf_counter() - start
    start = time.perf_counter()
    new.obs["cell_type"] = UNKNOWN
    scvi.model.SCANVI.prepare_query_anndata(new, model)
    grown = scvi.model.SCANVI.load_query_data(new, model)
    before = [p.detach().clone() for p in grown.module.parameters()]
    grown.train(max_epochs=100, plan_kwargs={"weight_decay": 0.0}, **QUIET)
    found = {
        "home": grown.get_latent_representation(cells),
        "away": grown.get_latent_representation(new),
        "label": np.asarray(grown.predict(new)).astype(str),
    }
    seconds = time.perf_counter() - start
    np.savez(Path(reference).with_suffix(".npz"), **found)
    return {
        "reference_seconds": reference_seconds,
        "query_seconds": seconds,
        "parameters": parameters(model),
        # Its surgery marks whole layers as trained, and masks the gradients of their old columns.
        "query_parameters": sum(
            int((old != new).sum()) for old, new in zip(before, grown.module.parameters(), strict=True)
        ),
    }


measured = {"integrate": integrate, "surgery": surgery}[sys.argv[1]](*sys.argv[2:])
# Not what getrusage says: that is inherited from the process that started this one.
status = Path("/proc/self/status").read_text()
measured["peak_gb"] = int(status.split("VmHWM:")[1].split()[0]) / 1024**2
print("\n" + json.dumps(measured))
