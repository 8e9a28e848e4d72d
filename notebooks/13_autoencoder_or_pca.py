# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 13 · Autoencoder or PCA?
#
# **You will learn** what an autoencoder finds that principal components cannot, and where they are as good;
# what deep learning makes of more cells; what eight and ten layers make of real cells; and how to train on a file
# that is larger than the memory you give it. **Time** on two cores: about 2 minutes; the first time it fetches
# 8 MB.
#
# The first half, down to "Real cells", needs nothing from notebooks 03 to 12: read it right after 02, where the
# autoencoder lost to PCA.
#
# [02 · building blocks](02_building_blocks.ipynb) · [12 · regions](12_regions_across_species.ipynb) ← →
# [14 · many OMICs](14_many_omics_one_code.ipynb) · [glossary](glossary.md) · [notation](notation.md)

# %% tags=["parameters"]
seed = 0
fast = False
output_dir = "../build/course"

# %%
import tempfile
from pathlib import Path

import keras
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import scanpy as sc
from sklearn.decomposition import PCA

# %%
from imap_keras import datasets, omics, plots
from imap_keras.course import Check, Results, SkipNotebook, handover, versions_table
from imap_keras.metrics import predictability
from imap_keras.nn.blocks import LayerSeeds, apply
from imap_keras.nn.fitting import run

# %% tags=["plumbing"]
settings = handover.Settings("sc_mixology", seed, None, output_dir, fast)
results = Results("13_autoencoder_or_pca", output_dir, settings.as_dict())
check = Check("13_autoencoder_or_pca", output_dir)

# %% [markdown]
# ## The network
#
# An autoencoder squeezes a cell $x$ through a bottleneck, the code $E(x)$, and rebuilds it as $D(E(x))$. With $n$
# cells of $d$ features, the loss is the mean squared error over all entries:
#
# $$L = \frac{1}{n d} \sum_{i=1}^{n} \lVert x_i - D(E(x_i)) \rVert^2$$
#
# | formula | code |
# |---|---|
# | $E$ | the layers `down`, then `code` |
# | $D$ | the layers `up`, then `rebuilt` |
#
# This one has eight dense layers, 30-20-10-2-10-20-30 and the output. Bottleneck and output are linear: the output
# must reach whatever the input can be. Take away the hidden layers, and $E$ and $D$ are matrices. The best such
# network spans the principal components: **PCA is the linear autoencoder.**


# %% tags=["lesson"]
def build_deep_autoencoder(n_features, hidden=(30, 20, 10), latent_dim=2, activation="elu", seed=0):
    seeds = LayerSeeds(seed)
    down = [seeds.dense(width, f"down_{i + 1}", activation) for i, width in enumerate(hidden)]
    code = seeds.dense(latent_dim, "code")
    up = [seeds.dense(width, f"up_{i + 1}", activation) for i, width in enumerate(hidden[::-1])]
    cells = keras.Input((n_features,), name="cells")
    rebuilt = apply([*down, code, *up, seeds.dense(n_features, "rebuilt")], cells)
    return keras.Model(cells, rebuilt, name="autoencoder")


# %% [markdown]
# ## A flat and a bent surface
#
# Simulated cells that differ in two directions only. Flat: each of 50 features is a weighted sum of the two.
# Bent: each is the sine of such a sum. Both with a little noise. We train on some cells and rebuild others,
# from two numbers each.

# %%
n_cells, options = (1000 if fast else 2000), {"learning_rate": 3e-3, "seed": seed}
options["epochs"] = 60 if fast else 120
surfaces = {
    name: datasets.simulate_manifold(n_cells + 1000, curvature=curvature, seed=seed)
    for name, curvature in (("flat", 0), ("bent", 1))
}

# %%
errors, rebuilt = {}, {}
for name, adata in surfaces.items():
    training, new = np.split(adata.X, [n_cells])
    network, _ = omics.fit_autoencoder(training, (64, 32), 2, **options)
    errors[name] = {"PCA": omics.pca_error(training, new, 2)}
    errors[name]["autoencoder"] = omics.reconstruction_error(network, new)
    rebuilt[name] = run(network, new)
errors = pd.DataFrame(errors).T.assign(noise=0.01)
errors.round(4)

# %% [markdown] claims=["flat_pca_error", "flat_autoencoder_error", "bent_pca_error", "bent_autoencoder_error"]
# **What to see:**
#
# - Flat: PCA leaves an error of 0.0096, the noise itself. The autoencoder (0.0099) has nothing to win.
# - Bent: PCA leaves 0.577, the autoencoder 0.014. Grey are the measured cells, seen through three features. PCA's plane
#   (left) cuts through them; the autoencoder's surface (right) follows them.

# %%
training, new = np.split(surfaces["bent"].X, [n_cells])
pca = PCA(2).fit(training)
plane = pca.inverse_transform(pca.transform(new))
# The two features that the components weigh most, and the one that the plane tells least of.
seen = [*np.abs(pca.components_).argmax(axis=1), plane.var(axis=0).argmin()]
figure = plt.figure(figsize=(10, 4.4), layout="constrained")
for i, (title, x) in enumerate({"PCA": plane, "autoencoder": rebuilt["bent"]}.items()):
    axis = figure.add_subplot(1, 2, i + 1, projection="3d", elev=20, azim=-30)
    axis.scatter(*new[:, seen].T, s=3, color="0.75", label="measured")
    axis.scatter(*x[:, seen].T, s=4, color=plots.COLORS[i], label=f"{title}, from 2 numbers")
plt.close(figure)  # shown below, with the names of its axes

# %%
for axis in figure.axes:
    axis.set(**dict(zip(("xlabel", "ylabel", "zlabel"), [f"feature {i}" for i in seen])))
    axis.set(xticklabels=[], yticklabels=[], zticklabels=[])
    axis.set_box_aspect(None, zoom=0.85)
    axis.legend(frameon=False, loc="upper left")
alt = (
    "Two clouds in three features. Left, PCA's flat plane cuts through the bent measured "
    "cells; right, the autoencoder's surface follows them."
)
settings.save_figure(figure, "13_surfaces", alt)

# %% [markdown]
# **Predict.** The autoencoder rebuilds the bent surface from two numbers. How many principal components does it
# take to do as well?

# %%
guess = None  # a number of components

# %%
by_pca = [omics.pca_error(training, new, n) for n in range(1, 50)]
needed = 1 + int(np.argmax(np.array(by_pca) <= errors.loc["bent", "autoencoder"]))
print(f"your guess: {guess}; it takes {needed} of 50")

# %% [markdown]
# ## More cells
#
# The same bent surface, learnt from more and more cells, by as many training steps each. PCA looks for one
# plane, and thirty cells show it nearly as well as thousands. The autoencoder has thousands of weights. Thirty
# cells say only roughly what they should be.

# %%
curve, steps = [], options["epochs"] * n_cells // 128
for n in [30, 100] if fast else [30, 100, 300]:
    few, size = training[:n], max(n // 8, 8)
    own = options | {"epochs": steps * size // n, "batch_size": size}
    network, _ = omics.fit_autoencoder(few, (64, 32), 2, **own)
    row = {"cells": n, "PCA": omics.pca_error(few, new, 2)}
    curve.append(row | {"autoencoder": omics.reconstruction_error(network, new)})
curve.append({"cells": n_cells, **errors.loc["bent"]})  # trained above
curve = pd.DataFrame(curve).set_index("cells")[["PCA", "autoencoder"]]
curve.round(3)

# %% [markdown] claims=["pca_error_30_cells", "bent_pca_error", "autoencoder_error_30_cells", "bent_autoencoder_error", "autoencoder_error_30_cells_over_most"]
# **What to see:**
#
# - PCA's error hardly moves, from 0.638 with thirty cells to 0.577 with all.
# - The autoencoder's is 0.12 with thirty cells and 0.014 with all, near the noise: more cells help a
#   model that can bend.
# - On a surface bent as strongly as this one the autoencoder is ahead of the plane even with thirty cells.

# %%
figure, axis = plt.subplots(figsize=(5, 3.2), layout="constrained")
for name, color in zip(curve, plots.COLORS):
    axis.plot(curve.index, curve[name], "o-", color=color, label=name)
axis.axhline(0.01, color="0.6", lw=1, ls="--", label="noise")
axis.set(xscale="log", yscale="log", xlabel="cells trained on", ylabel="error on new cells")
axis.legend(frameon=False)
plt.close(figure)
alt = (
    "Error on new cells against the number of cells trained on: PCA's line stays level, "
    "the autoencoder's stays for a while, then falls towards the noise."
)
settings.save_figure(figure, "13_more_cells", alt)

# %% [markdown]
# ## Real cells
#
# `sc_mixology` (notebook 07), log-normalised, its 50 principal components scaled by one number. Eight and ten
# layers, a bottleneck of 2 and of 10, against as many components. A fifth of the cells is kept aside and rebuilt.
#
# Without network and cache the notebook stops here, with the reason.

# %%
try:
    adata = handover.prepared(settings)
except ConnectionError as error:
    raise SkipNotebook(str(error)) from None

# %%
x = PCA(50, random_state=seed).fit_transform(adata.X.toarray())
x = (x / x[:, 0].std()).astype("float32")
mixed = np.random.default_rng(seed).permutation(len(x))
new, training = x[mixed[: len(x) // 5]], x[mixed[len(x) // 5 :]]
own = options | {"epochs": 20 if fast else 120, "batch_size": 64}

# %%
layers = {"8 layers": (30, 20, 10), "10 layers": (40, 30, 20, 10)}
real, codes = {}, {}
for dim in (2, 10):
    real[dim] = {"PCA": omics.pca_error(training, new, dim)}
    codes["PCA", dim] = x[:, :dim]
    for name, hidden in layers.items():
        widths = [max(width, dim + 5 * (dim > 2)) for width in hidden]
        network, _ = omics.fit_autoencoder(training, widths, dim, **own)
        real[dim][name] = omics.reconstruction_error(network, new)
        codes[name, dim] = run(omics.encoder_of(network), x)
real = pd.DataFrame(real).T.rename_axis("dimension")
real.round(4)

# %%
kind = adata.obs["cell_type"].astype(str)
told = {key: predictability(code, kind.to_numpy()) for key, code in codes.items()}
told = pd.Series(told, name="type told by 15 neighbours").unstack(0)[["PCA", *layers]]
told.rename_axis("dimension").round(3)

# %% [markdown] claims=["two_components_tell_the_type", "eight_layers_tell_the_type", "ten_layers_tell_the_type", "real_8_layers_over_pca_2"]
# **What to see:**
#
# - Two numbers per cell. The first two components lay H1975 and HCC827 over one another: fifteen neighbours tell the
#   line with a balanced accuracy of 0.94. In either bottleneck they tell it with 1.00.
# - The error of eight layers is 48 % of PCA's.
# - It is a good code, not a good picture. A line lies in several pieces, distances mean little, and eight layers
#   arrange the lines otherwise than ten.

# %%
color_of = dict(zip(sorted(kind.unique()), plots.COLORS))
colors = kind.map(color_of).to_numpy()


def draw(axis, positions, title):
    axis.scatter(*positions.T, s=5, c=colors, linewidths=0)
    axis.set(title=title, xticks=[], yticks=[])


# %%
figure, axes = plt.subplots(1, 3, figsize=(11, 3.4), layout="constrained")
for axis, name in zip(axes, ("PCA", *layers)):
    draw(axis, codes[name, 2], f"{name}, 2 numbers")
for name, color in color_of.items():
    axes[-1].scatter([], [], color=color, label=name)
axes[-1].legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
plt.close(figure)
alt = (
    "Cells in two numbers, coloured by cell line, from PCA, eight and ten layers. PCA "
    "lays two lines over one another; the autoencoders keep five apart."
)
settings.save_figure(figure, "13_bottlenecks", alt)

# %% [markdown] claims=["ten_components_tell_the_type", "eight_layers_of_ten_tell_the_type", "ten_layers_of_ten_tell_the_type"]
# **What to see:** ten numbers per cell, laid out by tSNE (above) and UMAP (below). Neighbours tell the line with 1.00
# from PCA as from either autoencoder. With ten numbers the non-linear reduction tells five cell lines no better.

# %%
some = mixed[: 200 if fast else 600]
shown, colors = adata[some].copy(), colors[some]
umap = plots.pca_of if fast else plots.umap_of  # UMAP compiles for ten seconds
figure, axes = plt.subplots(2, 3, figsize=(11, 6.6), layout="constrained")
for column, name in zip(axes.T, ("PCA", *layers)):
    shown.obsm[name] = codes[name, 10][some]
    sc.tl.tsne(shown, use_rep=name, random_state=seed)
    draw(column[0], shown.obsm["X_tsne"], f"{name}, tSNE")
    draw(column[1], umap(shown, name, seed), f"{name}, {'PCA' if fast else 'UMAP'}")
plt.close(figure)  # shown below, with its legend

# %%
for name, color in color_of.items():
    axes[0, -1].scatter([], [], color=color, label=name)
axes[0, -1].legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
alt = (
    "tSNE and UMAP of ten numbers per cell from PCA, eight and ten layers: every cell "
    "line makes islands of its own in all six panels."
)
settings.save_figure(figure, "13_tsne_umap", alt)

# %% [markdown]
# ## A file larger than the memory
#
# A million cells do not fit into a laptop as a dense matrix, and need not: a network sees a minibatch at a
# time. `BackedCells` reads blocks of neighbouring cells from all over an `.h5ad` file, shuffles a few of them
# together and hands out minibatches. How many it holds at once follows from the memory you give it. An epoch holds
# every training cell once.

# %%
folder = tempfile.TemporaryDirectory()
path = datasets.simulate_file(Path(folder.name) / "many_cells.h5ad", 25_000, seed=seed)
cells = omics.BackedCells(path, memory=10e6)
print(
    f"{cells.n_cells} cells x {cells.n_features} genes: {cells.dense_bytes / 1e6:.0f} MB as a matrix;"
)
print(f"held at once: {cells.BLOCKS_TOGETHER} blocks of {cells.block} cells")

# %% [markdown]
# Training runs in a process of its own, in which nothing else is. What it takes beyond the same training on
# 512 cells, at its highest, is the price of the file; then the same with the whole matrix in memory, to see
# that the measurement sees it.

# %%
found = omics.measure_memory(path, memory=10e6, seed=seed)
share = {name: found[f"{name}_peak"] / found["dense_bytes"] for name in ("backed", "dense")}
folder.cleanup()
for name, value in share.items():
    print(f"{name}: {found[f'{name}_peak'] / 1e6:.0f} MB, {value:.2f} of the matrix")
print("error of held-out cells (predicting the mean gives 1):", round(found["val_loss"][-1], 3))

# %% [markdown] claims=["backed_peak_share", "in_memory_peak_share", "backed_validation_error"]
# **What to see:**
#
# - From the file the training takes less than a fifth of what the matrix would. With the matrix in memory it takes
#   several times the matrix, for TensorFlow makes copies.
# - The first is more than the 10 MB given. These are for the cells held; what h5py and TensorFlow need to read and
#   to train comes on top.
# - One epoch brings the error of new cells to 0.94, where predicting the mean gives 1.

# %%
figure, axis = plt.subplots(figsize=(6, 1.8), layout="constrained")
axis.barh(["from the file", "in memory"], list(share.values()), color=plots.COLORS[:2])
axis.set(xlabel="highest memory / size of the dense matrix")
plt.close(figure)
alt = (
    "Two bars: training from the file takes a small part of the dense matrix, with the "
    "matrix in memory several times its size."
)
settings.save_figure(figure, "13_memory", alt)

# %% [markdown]
# ## Exercises
#
# Write between the marks; the cell after it says what it thinks, in green or in red.
#
# **1. Predict.** Take all activations out of the autoencoder and train it on the bent surface. Its error on new
# cells is (a) about that of the autoencoder above, (b) about that of two components, (c) about that of
# predicting the mean. The reason is that (x) six layers see more than one, (y) a product of matrices is a
# matrix, (z) no gradient flows without activations.

# %% tags=["exercise"] exercise="nb13_linear" level="a" points=1 minutes=3
chosen = None  # the error and the reason, two letters
### BEGIN SOLUTION
chosen = ("b", "y")
### END SOLUTION

# %% tags=["check"]
check("nb13_linear", chosen)

# %% [markdown]
# **2. Write.** Write `rebuild_error(cells, new, n)` with numpy alone: find `n` principal components in `cells`
# (`np.linalg.svd`), rebuild the cells `new` from them, and return the mean squared error over all entries.


# %% tags=["exercise"] exercise="nb13_pca" level="b" points=2 minutes=12
def rebuild_error(cells, new, n):
    ### BEGIN SOLUTION
    mean = cells.mean(axis=0)
    axes = np.linalg.svd(cells - mean, full_matrices=False)[2][:n]
    rebuilt = mean + (new - mean) @ axes.T @ axes
    return np.mean((rebuilt - new) ** 2)
    ### END SOLUTION


# %% tags=["check"]
check("nb13_pca", rebuild_error)

# %% [markdown]
# **3. Discuss.** PCA or an autoencoder for cells of your own? Say how many cells and features there are and
# what the reduction is for, choose, and say what you would measure to find out whether the choice was right.

# %% [markdown] tags=["rubric"] exercise="nb13_choose" level="c" points=4 minutes=10
# - 1 point for the purpose: neighbours, a picture, values rebuilt, or a file larger than the memory.
# - 1 point for cells that were not trained on, and the same number of dimensions on both sides.
# - 1 point for a measure of the purpose itself (types told by neighbours, for example), not the error alone.
# - 1 point for the number of cells, the time and several seeds in the argument.

# %%
check.table()

# %% [markdown]
# ## What was learnt
#
# An autoencoder is worth its trouble where the data bend, the more so the more cells. On a flat surface PCA
# is the best there is, and instant. A bottleneck is a reduction, not a picture: lay it out with tSNE or UMAP.
# And minibatches make the number of cells a matter of patience, not of memory.

# %% tags=["plumbing"]
for name, of in errors.iterrows():
    results.add(f"{name}_pca_error", of["PCA"], "<= 0.012" if name == "flat" else ">= 0.4")
    results.add(f"{name}_autoencoder_error", of["autoencoder"], "<= 0.05")
results.add("pca_error_30_cells", curve["PCA"].iloc[0], ">= 0.4")
results.add("autoencoder_error_30_cells", curve["autoencoder"].iloc[0], "<= 0.4")

# %% tags=["plumbing"]
words = {"PCA": "components", "8 layers": "eight_layers", "10 layers": "ten_layers"}
for name, word in words.items():
    two, ten = (f"two_{word}", f"ten_{word}") if name == "PCA" else (word, f"{word}_of_ten")
    results.add(f"{two}_tell_the_type", told.loc[2, name], "<= 0.97" if name == "PCA" else ">= 0.8")
    results.add(f"{ten}_tell_the_type", told.loc[10, name], ">= 0.95")

# %% tags=["plumbing"]
ratio = errors["autoencoder"] / errors["PCA"]
results.add("bent_autoencoder_over_pca", ratio["bent"], "<= 0.8")
results.add("flat_autoencoder_over_pca", ratio["flat"], "<= 1.5")
gain = curve.iloc[0] / curve.iloc[-1]
results.add("autoencoder_error_30_cells_over_most", gain["autoencoder"], ">= 3")
results.add("pca_error_30_cells_over_most", gain["PCA"], "<= 1.5")
results.add("real_8_layers_over_pca_2", real["8 layers"][2] / real["PCA"][2], "<= 1")
results.add("real_10_layers_over_pca_2", real["10 layers"][2] / real["PCA"][2], "<= 1")
results.add("backed_peak_share", share["backed"], "<= 0.2")
results.add("in_memory_peak_share", share["dense"], ">= 2.5")
results.add("backed_validation_error", found["val_loss"][-1], "< 1")
results.save()

# %% tags=["plumbing"]
versions_table()
