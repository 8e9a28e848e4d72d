"""Fit one tiny model of every class, save it, and keep what it was given and what it gave.

``python tests/saved/make.py`` writes ``keras2.tar.xz`` or ``keras3.tar.xz`` beside this file, by the
Keras that is installed: Keras 2 does not read the files of Keras 3. What lies there was written at
version 0.1.0, before the package was laid out in folders; `tests/test_saved_models.py` asks that it
still loads. Make it again only where the format itself has to change.
"""

import shutil
import sys
import tempfile
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

import imap_keras
from imap_keras import bayes, inclust, omics, regions, scarches
from imap_keras.datasets import simulate, simulate_modalities

ARCHIVE = Path(__file__).parent / f"keras{keras.__version__[0]}.tar.xz"
IMAP = {
    "latent_dim": 3,
    "hidden": (6, 5),
    "critic_hidden": (4,),
    "stage1_epochs": 1,
    "stage1_steps": 2,
    "stage2_epochs": 1,
    "stage2_steps": 5,
    "search": "exact",
    "pair_agreement": 0,
    "n_components": 3,
}
SIZES = {"rna": 6, "protein": 4}
SMALL = {"epochs": 1, "seed": 0}


def cells():
    """Counts of two batches, 30 cells x 15 genes, and the same log-normalised."""
    counts = simulate(n_cells=30, n_genes=15, n_batches=2, n_types=2, seed=1)
    return counts, imap_keras.preprocess(counts, min_genes=1, min_cells=1, n_top_genes=10**6, verbose=0)


def modalities():
    return simulate_modalities(30, SIZES, n_types=2, n_batches=2, n_states=2, seed=1)


def species():
    return regions.simulate_species("subcortex", n_cells=110, n_genes=12, n_donors=5, seed=3)


def outputs(folder: Path) -> dict[str, np.ndarray]:
    """What every model saved in the folder gives."""

    def load(kind):
        return CLASSES[kind].load(folder / kind)

    counts, logged = cells()
    model = load("imap")
    out = {"imap": model.transform(logged).layers["imap"]}
    out["imap_components"] = model.transform(logged).obsm["X_imap"]
    reference = load("scarches")
    first = counts[counts.obs["batch"] == counts.obs["batch"].unique()[0]].copy()
    second = counts[counts.obs["batch"] != counts.obs["batch"].unique()[0]].copy()
    out["scarches"] = reference.latent(first)
    out["scarches_adaptor"] = reference.attach(folder / "adaptor").latent(second)
    rows = inclust.paired_batches(modalities(), "batch", "cell_type")
    out["inclust"] = load("inclust").latent(rows, rows.blocks[0])
    out["omics"] = load("omics").latent(modalities())
    classifier = load("bayes")
    out["bayes"] = classifier.draws(logged.X.toarray(), n_draws=2)
    human, mouse = species()
    # Version 0.1.0 summed in float32; the averages differ by that rounding, the model does not.
    scaled = (mouse.X - mouse.X.mean(axis=0)) / mouse.X.std(axis=0)
    averages = pd.DataFrame(scaled, columns=list(mouse.var_names))
    averages = averages.groupby(mouse.obs["region"].astype(str).to_numpy(), sort=False).mean()
    np.testing.assert_allclose(regions.region_averages(mouse), averages, atol=1e-5)
    out["regions"] = load("regions").embed(averages).to_numpy()
    return {name: np.asarray(value, "float32") for name, value in out.items()}


CLASSES = {
    "imap": imap_keras.IMAP,
    "scarches": scarches.Reference,
    "inclust": inclust.InClust,
    "omics": omics.MultiOmics,
    "bayes": bayes.BayesianClassifier,
    "regions": regions.RegionClassifier,
}


def fit_all(folder: Path) -> None:
    """Fit and save one model of every class."""
    counts, logged = cells()
    names = counts.obs["batch"].unique()
    first, second = (counts[counts.obs["batch"] == name].copy() for name in names)
    imap_keras.IMAP(**IMAP).fit(logged, verbose=0).save(folder / "imap")
    reference = scarches.Reference(latent_dim=3, hidden=(5, 4), **SMALL).fit(first, verbose=0)
    reference.save(folder / "scarches")
    reference.map_query(second, epochs=1, verbose=0).save_adaptor(folder / "adaptor", names[1])
    rows = inclust.paired_batches(modalities(), "batch", "cell_type")
    model = inclust.InClust(latent_dim=3, hidden=(6, 5), decoder_hidden=(6,), **SMALL)
    model.fit(rows, verbose=0).save(folder / "inclust")
    joint = omics.MultiOmics({"rna": "mse", "protein": "mse"}, latent_dim=3, **SMALL)
    joint.fit(modalities(), verbose=0).save(folder / "omics")
    classifier = bayes.BayesianClassifier(hidden=(4,), **SMALL)
    classifier.fit(logged.X.toarray(), logged.obs["cell_type"], verbose=0).save(folder / "bayes")
    human, _ = species()
    model = regions.RegionClassifier(hidden=(6, 5), batch_size=32, epochs=1, seed=0)
    model.fit(human, verbose=0).save(folder / "regions")


def main() -> int:
    tf.config.run_functions_eagerly(True)
    with tempfile.TemporaryDirectory() as folder:
        fit_all(Path(folder))
        np.savez_compressed(Path(folder) / "outputs.npz", **outputs(Path(folder)))
        shutil.make_archive(str(ARCHIVE).removesuffix(".tar.xz"), "xztar", folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
