"""What one notebook hands to the next: files in the output folder, made by whoever comes first."""

import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path

import anndata
import keras
import numpy as np
import scanpy as sc
from anndata import AnnData
from matplotlib.figure import Figure

from .blocks import run
from .datasets import load
from .hyperparameters import Hyperparameters, resolve
from .model import IMAP
from .persistence import load_models, save_models
from .preprocessing import preprocess
from .training import find_pairs, pair_space, total_variance, train_stage1

# Small networks and short training for the regression tests; the method is the same.
FAST = {"latent_dim": 64, "hidden": (256, 128), "critic_hidden": (128, 128)}


@dataclass(frozen=True)
class Settings:
    """The parameters of a notebook, and the files that follow from them.

    Parameters
    ----------
    dataset
        ``"demo"``, ``"simulated"``, ``"sc_mixology"`` or the path of an ``.h5ad`` file with counts.
    seed
        Seed of everything random.
    epochs
        Epochs of each stage; None takes the default of :class:`imap_keras.IMAP`.
    output_dir
        Folder for figures, results and handed-over files.
    fast
        Small networks, for tests.
    batch_key, label_key
        Columns of ``obs`` with batch and cell type.

    Examples
    --------
    >>> from imap_keras.handover import Settings
    >>> Settings(seed=3).hyperparameters().seed
    3
    """

    dataset: str = "demo"
    seed: int = 0
    epochs: int | None = None
    output_dir: str = "../build/course"
    fast: bool = False
    batch_key: str = "batch"
    label_key: str = "cell_type"

    def as_dict(self) -> dict:
        """Names and values, for the results file."""
        return asdict(self)

    def hyperparameters(self, **changes) -> Hyperparameters:
        """The default hyperparameters with this seed, these epochs and, if `fast`, small networks."""
        if self.fast:
            changes = {**FAST, **changes}
        if self.epochs is not None:
            changes = {"stage1_epochs": self.epochs, "stage2_epochs": self.epochs, **changes}
        return resolve(seed=self.seed, **changes)

    @property
    def folder(self) -> Path:
        """Folder of handed-over files; another data set, seed or size has another one."""
        name = re.sub(r"[^\w-]", "_", Path(self.dataset).stem)
        epochs = "" if self.epochs is None else f"-{self.epochs}_epochs"
        size = "-fast" if self.fast else ""
        return Path(self.output_dir) / "handover" / f"{name}-seed_{self.seed}{epochs}{size}"

    def save_figure(self, figure: Figure, name: str) -> Figure:
        """Write a figure to ``figures/name.png`` and return it, so that the notebook shows it."""
        path = Path(self.output_dir) / "figures" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=100, bbox_inches="tight")
        return figure


def prepared(settings: Settings) -> AnnData:
    """Preprocessed cells with ``obsm["X_pca"]`` (notebook 01), read or made.

    Examples
    --------
    >>> prepared(Settings()).n_obs  # doctest: +SKIP
    700
    """
    path = settings.folder / "prepared.h5ad"
    if path.exists():
        return anndata.read_h5ad(path)
    adata = load(settings.dataset)
    if "doublet" in adata.obs:
        adata = adata[~adata.obs["doublet"]].copy()
    # Reduced gene panels, like the demo's 765, have fewer genes a cell than a whole transcriptome.
    min_genes = min(200, adata.n_vars // 15)
    adata = preprocess(adata, settings.batch_key, min_genes=min_genes, verbose=0)
    sc.pp.pca(adata, n_comps=30, random_state=settings.seed)
    _write(path, adata.write_h5ad)
    return adata


def merge_order(adata: AnnData, batch_key: str) -> list[str]:
    """Batches in decreasing total variance, the anchor first.

    Examples
    --------
    >>> merge_order(prepared(Settings()), "batch")  # doctest: +SKIP
    """
    labels = adata.obs[batch_key].astype(str).to_numpy()
    cells = adata.X.toarray()
    variance = {name: total_variance(cells[labels == name]) for name in np.unique(labels)}
    return sorted(variance, key=variance.get, reverse=True)


def encoder(settings: Settings) -> keras.Model:
    """The trained encoder of stage I (notebook 03), read or trained.

    Examples
    --------
    >>> encoder(Settings()).output_shape  # doctest: +SKIP
    (None, 256)
    """
    path = settings.folder / "stage1"
    if path.exists():
        return load_models(path, "stage1")[0]["encoder"]
    adata = prepared(settings)
    codes = adata.obs[settings.batch_key].astype("category").cat.codes.to_numpy()
    models, _ = train_stage1(adata.X.toarray(), codes, settings.hyperparameters())
    save_encoder(settings, models["encoder"])
    return models["encoder"]


def save_encoder(settings: Settings, model: keras.Model) -> None:
    """Hand on the encoder that notebook 03 trained.

    Examples
    --------
    >>> save_encoder(Settings(), model)  # doctest: +SKIP
    """
    save_models(settings.folder / "stage1", "stage1", {"encoder": model}, settings.as_dict())


def first_pairs(settings: Settings) -> np.ndarray:
    """Pairs between the first query batch and the anchor (notebook 04), read or made.

    Examples
    --------
    >>> first_pairs(Settings()).shape[1]  # doctest: +SKIP
    2
    """
    path = settings.folder / "first_pairs.npy"
    if path.exists():
        return np.load(path)
    adata = prepared(settings)
    labels = adata.obs[settings.batch_key].astype(str).to_numpy()
    anchor, query = (np.flatnonzero(labels == b) for b in merge_order(adata, settings.batch_key)[:2])
    cells, hp = adata.X.toarray(), settings.hyperparameters()
    space = pair_space(run(encoder(settings), cells), cells, hp)
    pairs, _ = find_pairs(space, query, anchor, hp)
    save_first_pairs(settings, pairs)
    return pairs


def save_first_pairs(settings: Settings, pairs: np.ndarray) -> None:
    """Hand on the pairs that notebook 04 found.

    Examples
    --------
    >>> save_first_pairs(Settings(), pairs)  # doctest: +SKIP
    """

    def write(path):
        with open(path, "wb") as file:
            np.save(file, pairs)

    _write(settings.folder / "first_pairs.npy", write)


def integrated(settings: Settings) -> tuple[IMAP, AnnData]:
    """The fitted iMAP and the integrated cells (notebook 00), read or fitted.

    Examples
    --------
    >>> model, adata = integrated(Settings())  # doctest: +SKIP
    """
    adata, path = prepared(settings), settings.folder / "imap"
    if path.exists():
        model = IMAP.load(path)
    else:
        model = IMAP(**settings.hyperparameters().as_dict())
        model.fit(adata, settings.batch_key, verbose=0).save(path)
    return model, model.transform(adata)


def _write(path: Path, write) -> None:
    """Write under a temporary name, then rename: a file that is there is complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"writing-{os.getpid()}-{path.name}")
    write(temporary)
    os.replace(temporary, path)
