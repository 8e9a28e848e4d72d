"""The reference (PyPI `imap` 1.0.0) on one file, run in its own environment; see peers.py."""

import json
import sys
import time
from pathlib import Path

import numpy as np

np.bool8 = np.bool_  # numpy 2 dropped the name the reference uses

import anndata  # noqa: E402
from imap.stage1 import iMAP_fast  # noqa: E402
from imap.stage2 import integrate_data  # noqa: E402
from sklearn.decomposition import PCA  # noqa: E402

path, seed, stage1_epochs, stage2_epochs = sys.argv[1], *map(int, sys.argv[2:5])
adata = anndata.read_h5ad(path)
if not isinstance(adata.X, np.ndarray):
    adata.X = adata.X.toarray()
start = time.perf_counter()
_, content = iMAP_fast(adata, key="batch", n_epochs=stage1_epochs, seed=seed)
# k1 = 1, k2 = 5: what its authors take for small sets
result = integrate_data(
    adata, content, key="batch", n_epochs=stage2_epochs, inc=True, k1=1, k2=5, seed=seed
)
seconds = time.perf_counter() - start
# cells x genes, in the order of the cells
space = PCA(30, svd_solver="arpack", random_state=0).fit_transform(np.asarray(result))
np.save(Path(path).with_suffix(".npy"), space.astype("float32"))
# Not what getrusage says: that is inherited from the process that started this one.
status = Path("/proc/self/status").read_text()
peak = int(status.split("VmHWM:")[1].split()[0]) / 1024**2
print("\n" + json.dumps({"seconds": seconds, "peak_gb": peak}))
