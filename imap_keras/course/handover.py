"""What one notebook hands to the next: files in the output folder, made by whoever comes first."""

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import anndata
import keras
import numpy as np
import scanpy as sc
from anndata import AnnData
from matplotlib.figure import Figure
from scipy import sparse

from ..datasets import load
from ..imap.components import merge_order, scale_factor
from ..imap.hyperparameters import Hyperparameters
from ..imap.model import IMAP
from ..imap.training import find_pairs, train_stage1
from ..inputs.labels import coded, labels_of
from ..inputs.values import check_logged, check_values, dense
from ..nn.blocks import rescaled
from ..nn.fitting import run
from ..nn.persistence import load_models, save_models, write_whole
from ..plots import alt_text
from ..preprocessing.preprocess import MIN_GENES, preprocess
from .picture import Picture
from .results import installed_versions

PACKAGE = Path(__file__).parents[1]
N_TOP_GENES = 2000  # kept of a file that is log-normalised already, as preprocess keeps of counts

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
    def keys(self) -> tuple[str, str]:
        """Columns of batch and cell type."""
        return self.batch_key, self.label_key

    @property
    def folder(self) -> Path:
        """Folder of handed-over files; whatever changes them has another one, the code included."""
        path = Path(self.dataset).expanduser()
        file = [str(path.resolve()), path.stat().st_mtime_ns] if path.is_file() else [self.dataset]
        changes = self.hyperparameters().as_dict()
        content = json.dumps([file, self.keys, changes, installed_versions(), code_hash()])
        digest = hashlib.sha256(content.encode()).hexdigest()[:8]
        name = re.sub(r"[^\w-]", "_", path.stem)
        return Path(self.output_dir).expanduser() / "handover" / f"{name}-seed_{self.seed}-{digest}"

    def save_figure(self, figure: Figure, name: str, alt: str | None = None) -> Picture:
        """Write a figure to ``figures/name.png`` and return it, so that the notebook shows it.

        Parameters
        ----------
        figure, name
            What is drawn, and the name of its file without ending.
        alt
            What there is to see, in a sentence or two, for those who cannot see it; None: as
            :func:`imap_keras.plots.alt_text` reads it off the figure.
        """
        path = Path(self.output_dir).expanduser() / "figures" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=100, bbox_inches="tight")
        return Picture(path, alt or alt_text(figure))


@cache
def code_hash(package: Path = PACKAGE) -> str:
    """Hash of the package's own files: who changes a network must not be handed yesterday's.

    Examples
    --------
    >>> from imap_keras.course.handover import code_hash
    >>> len(code_hash())
    64
    """
    content = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        content.update(str(path.relative_to(package)).encode() + b"\0" + path.read_bytes())
    return content.hexdigest()


def prepared(settings: Settings) -> AnnData:
    """Preprocessed cells with ``obsm["X_pca"]`` (notebook 01), read or made.

    A file without counts, whose ``X`` is log-normalised already, is taken as it is; of many genes the
    2000 most variable are kept.

    Raises
    ------
    KeyError, ValueError
        As :func:`imap_keras.preprocess`.

    Examples
    --------
    >>> from imap_keras.course.handover import Settings, prepared
    >>> prepared(Settings(output_dir="build/course")).n_obs
    700
    """
    path = settings.folder / "prepared.h5ad"
    if path.exists():
        return anndata.read_h5ad(path)
    adata = load(settings.dataset)
    if settings.dataset == "sc_mixology":
        adata = adata[~adata.obs["doublet"]].copy()
    if _is_logged(adata):
        adata = _most_variable(adata, settings.batch_key)
    else:
        # Reduced gene panels, like the demo's 765, have fewer genes a cell than a whole transcriptome.
        min_genes = min(MIN_GENES, adata.n_vars // 15)
        adata = preprocess(adata, settings.batch_key, min_genes=min_genes, verbose=0)
    sc.pp.pca(adata, n_comps=30, random_state=settings.seed, mask_var=None)
    write_whole(path, adata.write_h5ad)
    return adata


def _is_logged(adata: AnnData) -> bool:
    """A file without counts: no such layer, and fractional values in X."""
    if "counts" in adata.layers or adata.X is None:
        return False
    return bool(np.any((adata.X.data if sparse.issparse(adata.X) else adata.X) % 1))


def _most_variable(adata: AnnData, batch_key: str) -> AnnData:
    """Log-normalised cells with their most variable genes, checked."""
    labels_of(adata, batch_key)
    check_values(adata.X)
    check_logged(adata.X)
    if adata.n_vars <= N_TOP_GENES:
        return adata
    table = sc.pp.highly_variable_genes(
        adata, n_top_genes=N_TOP_GENES, batch_key=batch_key, inplace=False
    )
    return adata[:, table["highly_variable"].to_numpy()].copy()


def arrays(settings: Settings) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Expression (cells x genes, dense), batch and cell type of the cells of :func:`prepared`.

    Raises
    ------
    KeyError, ValueError
        The batch or the cell type is not a column of ``obs``, or is empty for some cells.

    Examples
    --------
    >>> from imap_keras.course.handover import Settings, arrays
    >>> cells, batches, types = arrays(Settings(output_dir="build/course"))
    >>> cells.shape, sorted(set(batches))
    ((700, 764), ['platform_A', 'platform_B', 'platform_C'])
    """
    adata = prepared(settings)
    batches = labels_of(adata, settings.batch_key)
    types = labels_of(adata, settings.label_key, "label_key")
    return dense(adata.X), batches, types


def encoder(settings: Settings) -> keras.Model:
    """The trained encoder of stage I (notebook 03), read or trained; it reads cells as they are."""
    try:
        return load_models(settings.folder / "stage1", "stage1")[0]["encoder"]
    except (FileNotFoundError, ValueError):  # not trained yet, or damaged: trained (again)
        adata = prepared(settings)
    _, codes = coded(labels_of(adata, settings.batch_key))
    cells, hp = dense(adata.X), settings.hyperparameters()
    scale = scale_factor(cells, hp)
    models, _ = train_stage1(cells * scale, codes, hp)
    network = rescaled(models["encoder"], before=scale)
    save_encoder(settings, network)
    return network


def save_encoder(settings: Settings, model: keras.Model) -> None:
    """Hand on the encoder that notebook 03 trained."""
    save_models(settings.folder / "stage1", "stage1", {"encoder": model}, settings.as_dict())


def first_pairs(settings: Settings) -> np.ndarray:
    """Pairs between the first query batch and the anchor (notebook 04), read or made."""
    path = settings.folder / "first_pairs.npy"
    if path.exists():
        return np.load(path)
    adata = prepared(settings)
    labels = labels_of(adata, settings.batch_key)
    cells, hp = dense(adata.X), settings.hyperparameters()
    anchor, query = (np.flatnonzero(labels == name) for name in merge_order(cells, labels)[:2])
    content, scaled = run(encoder(settings), cells), cells * scale_factor(cells, hp)
    pairs, _ = find_pairs(content, scaled, query, anchor, hp)
    save_first_pairs(settings, pairs)
    return pairs


def save_first_pairs(settings: Settings, pairs: np.ndarray) -> None:
    """Hand on the pairs that notebook 04 found."""

    def write(path):
        with open(path, "wb") as file:
            np.save(file, pairs)

    write_whole(settings.folder / "first_pairs.npy", write)


def integrated(settings: Settings) -> tuple[IMAP, AnnData]:
    """The fitted iMAP and the integrated cells (notebook 00), read or fitted."""
    adata, path = prepared(settings), settings.folder / "imap"
    try:
        model = IMAP.load(path)
    except (FileNotFoundError, ValueError):  # not fitted yet, or damaged: fitted (again)
        model = IMAP(**settings.hyperparameters().as_dict())
        model.fit(adata, settings.batch_key, verbose=0).save(path)
    return model, model.transform(adata)
