"""Peers: one signature, cells in their order, batches brought together."""

import numpy as np
import pytest
from sklearn.decomposition import PCA

import imap_keras
from imap_keras.peers import PEERS, bbknn, harmony, scanorama, uncorrected


@pytest.fixture(scope="module")
def shifted(logged):
    """Two batches of `logged` that differ by a shift of a third of the genes alone."""
    cells = logged[logged.obs["batch"] != "batch_2"].copy()
    values = cells.layers["truth"]
    values = np.asarray(values.todense() if hasattr(values, "todense") else values)
    values = np.log1p(values / values.sum(axis=1, keepdims=True) * 1e4)
    values[cells.obs["batch"] == "batch_1", ::3] += 1.0
    cells.X = values.astype("float32")
    return cells


def gap(space, batch):
    """Distance of the batches' means, in standard deviations of a batch."""
    first, second = (space[batch == name] for name in np.unique(batch))
    return np.linalg.norm(first.mean(0) - second.mean(0)) / np.sqrt(first.var(0).sum())


def test_uncorrected_are_the_principal_components(logged):
    found = uncorrected(logged)
    expected = PCA(30, svd_solver="full").fit_transform(logged.X.toarray().astype("float64"))
    # The last components of so few cells are nearly equal in size and may turn.
    for axis in range(10):
        correlation = np.corrcoef(found[:, axis], expected[:, axis])[0, 1]
        assert abs(correlation) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("name", list(PEERS))
def test_a_peer_gives_a_row_a_cell_and_leaves_the_cells_alone(name, logged):
    pytest.importorskip(name.lower().replace("harmony", "harmonypy")) if name != "uncorrected" else None
    before = logged.X.copy()
    space = PEERS[name](logged, "batch", seed=0)
    assert space.shape[0] == logged.n_obs and space.dtype == np.float32
    assert np.isfinite(space).all()
    assert (before != logged.X).nnz == 0
    assert "X_pca" not in logged.obsm


@pytest.mark.parametrize(
    "name, method", [("harmonypy", harmony), ("scanorama", scanorama), ("bbknn", bbknn)]
)
def test_a_peer_brings_shifted_batches_together_in_the_order_of_the_cells(name, method, shifted):
    pytest.importorskip(name)
    batch = shifted.obs["batch"].to_numpy()
    space = method(shifted, "batch")
    assert gap(space, batch) < 0.7 * gap(uncorrected(shifted), batch)
    types = shifted.obs["cell_type"].to_numpy()
    own = np.array(
        [
            np.median(np.linalg.norm(space[types == t] - space[types == t].mean(0), axis=1))
            for t in np.unique(types)
        ]
    )
    spread = np.median(np.linalg.norm(space - space.mean(0), axis=1))
    assert own.mean() < 0.9 * spread  # a type's rows still lie together


@pytest.mark.parametrize("method", ["Harmony", "Scanorama", "BBKNN"])
def test_a_cell_without_a_batch_is_no_batch_of_its_own(method):
    pytest.importorskip(method.lower().replace("harmony", "harmonypy"))
    cells = imap_keras.datasets.simulate(n_cells=60, n_genes=50, n_batches=2, n_types=2)
    cells = imap_keras.preprocess(cells, min_genes=5, min_cells=0, verbose=0)
    cells.obs["batch"] = cells.obs["batch"].astype(object).where(np.arange(60) > 9)
    with pytest.raises(ValueError, match=r"adata.obs\['batch'\] is empty for 10 cells"):
        PEERS[method](cells)
    with pytest.raises(KeyError, match="batch_key='donor' is not a column"):
        PEERS[method](cells, "donor")
