"""What one notebook hands to the next: files in the output folder, made by whoever comes first."""

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path

import anndata
import keras
import numpy as np
import scanpy as sc
from anndata import AnnData
from matplotlib.figure import Figure

from ..datasets import load
from ..imap.components import merge_order
from ..imap.hyperparameters import Hyperparameters
from ..imap.model import IMAP
from ..imap.training import find_pairs, train_stage1
from ..nn.fitting import run
from ..nn.persistence import DESCRIPTION, load_models, save_models, write_whole
from ..preprocessing import preprocess
from .results import installed_versions

# The demo's 700 cells: a quarter of the paper's widths memorises less and needs more epochs of stage I;
# after 50 epochs of stage II the critic begins to learn single cells by heart.
SMALL = {
    "latent_dim": 64,
    "hidden": (256, 128),
    "critic_hidden": (128, 128),
    "stage1_epochs": 40,
    "stage2_epochs": 30,
}
# For the regression tests: small networks for any data, and short training.
FAST = {**SMALL, "stage1_epochs": 30, "stage2_epochs": 20}


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
        Small networks and short training, for tests.
    batch_key, label_key
        Columns of ``obs`` with batch and cell type.

    Examples
    --------
    >>> from imap_keras.course.handover import Settings
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
        """The default hyperparameters with this seed and these epochs; smaller for the demo."""
        settings = {**SMALL} if self.dataset == "demo" else {}
        if self.fast:
            settings |= FAST
        if self.epochs is not None:
            settings |= {"stage1_epochs": self.epochs, "stage2_epochs": self.epochs}
        return Hyperparameters.of(**{"seed": self.seed, **settings, **changes})

    @property
    def folder(self) -> Path:
        """Folder of handed-over files; whatever changes them has another one."""
        path = Path(self.dataset).expanduser()
        file = [str(path.resolve()), path.stat().st_mtime_ns] if path.is_file() else [self.dataset]
        keys, changes = [self.batch_key, self.label_key], self.hyperparameters().as_dict()
        content = json.dumps([file, keys, changes, installed_versions()])
        digest = hashlib.sha256(content.encode()).hexdigest()[:8]
        name = re.sub(r"[^\w-]", "_", path.stem)
        return Path(self.output_dir) / "handover" / f"{name}-seed_{self.seed}-{digest}"

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
    if settings.dataset == "sc_mixology":
        adata = adata[~adata.obs["doublet"]].copy()
    # Reduced gene panels, like the demo's 765, have fewer genes a cell than a whole transcriptome.
    min_genes = min(200, adata.n_vars // 15)
    adata = preprocess(adata, settings.batch_key, min_genes=min_genes, verbose=0)
    sc.pp.pca(adata, n_comps=30, random_state=settings.seed, mask_var=None)
    write_whole(path, adata.write_h5ad)
    return adata


def encoder(settings: Settings) -> keras.Model:
    """The trained encoder of stage I (notebook 03), read or trained.

    Examples
    --------
    >>> encoder(Settings()).output_shape  # doctest: +SKIP
    (None, 256)
    """
    path = settings.folder / "stage1"
    if (path / DESCRIPTION).is_file():
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
    cells, hp = adata.X.toarray(), settings.hyperparameters()
    anchor, query = (np.flatnonzero(labels == name) for name in merge_order(cells, labels)[:2])
    pairs, _ = find_pairs(run(encoder(settings), cells), cells, query, anchor, hp)
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

    write_whole(settings.folder / "first_pairs.npy", write)


def integrated(settings: Settings) -> tuple[IMAP, AnnData]:
    """The fitted iMAP and the integrated cells (notebook 00), read or fitted.

    Examples
    --------
    >>> model, adata = integrated(Settings())  # doctest: +SKIP
    """
    adata, path = prepared(settings), settings.folder / "imap"
    if (path / DESCRIPTION).is_file():
        model = IMAP.load(path)
    else:
        model = IMAP(**settings.hyperparameters().as_dict())
        model.fit(adata, settings.batch_key, verbose=0).save(path)
    return model, model.transform(adata)
