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
# # 00 · The tour: iMAP in one call and three pictures
#
# **You will learn** what batch effects do to single-cell data, what iMAP gives back, and how to run it
# on your own file. **Time** on two cores: about 1 minute.
#
# iMAP (Wang et al., Genome Biology 22:63, 2021) works in two stages:
#
# 1. an *autoencoder* learns the content of a cell, a code in which its batch cannot be read;
# 2. a *generative adversarial network* carries the cells of each batch into the *anchor* batch. Pairs
#    of cells that are mutual nearest neighbours show it which cells belong together. (*Adversarial*:
#    one network changes cells, a second one tries to tell them from real ones, and both improve.)
#
# Next: [01 · data and batch effects](01_data_and_batch_effects.ipynb). Words are explained in the
# [glossary](glossary.md), symbols in the [notation](notation.md).

# %% tags=["parameters"]
dataset = "demo"  # or "simulated", "sc_mixology", or the path of your own .h5ad file
batch_key = "batch"  # the column of obs that names the batch
label_key = "cell_type"  # the column of obs that names the cell type, if there is one
seed = 0
epochs = None  # None: the default of imap_keras.IMAP
fast = False
output_dir = "../build/course"

# %% [markdown]
# ## Does everything work here?
#
# TensorFlow uses a GPU if it sees one. The course is sized so that two CPU cores are enough.
#
# Some cells of each notebook are not for you to study. They carry the tag `plumbing`, so that they can be
# hidden:
#
# - `Settings` collects the parameters above. `fast` makes all networks small, for the tests of the course.
# - `handover` keeps what one notebook makes for the next: the prepared cells, the encoder, the pairs, the
#   trained model. Where a file is missing, it is made anew.
# - `results.add(name, value, bound)` notes a number and the bound it must keep. The sentences after "What to
#   see" rest on these numbers, and a test compares them. Some bounds hold for these parameters only: they are
#   added where `told` is true.
#
# **Will your numbers be these?** Seeds fix all that is random, but processors add in different orders, and a training
# drifts from there as far as another seed would take it. The numbers in the texts are those of the outputs you see before you
# run anything. What is said of them holds on yours, too, if the bound does; `benchmarks/README.md` ("On another processor") says how far they drift.

# %%
import numpy as np
import pandas as pd
from sklearn.neighbors import NearestNeighbors

from imap_keras import metrics, plots
from imap_keras.course import Check, Results, drawings, handover, versions_table
from imap_keras.nn.backend import describe_device

# %% tags=["plumbing"]
told = (dataset, seed, epochs, fast) == ("demo", 0, None, False)  # what the text was written for
settings = handover.Settings(dataset, seed, epochs, output_dir, fast, batch_key, label_key)
results = Results("00_tour", output_dir, settings.as_dict())
check = Check("00_tour", output_dir)
print("Device:", describe_device())

# %% [markdown]
# ## The way of a cell
#
# From left to right: what happens to a cell, and which notebook explains it.

# %%
settings.save_figure(drawings.pipeline(), "00_pipeline")

# %% [markdown]
# ## The data
#
# The demo is 700 blood cells that ship inside scanpy. We know the truth about them, because we carried
# them onto three made-up platforms ourselves: platforms B and C see each gene with an efficiency of
# their own, C adds RNA that floats between cells, and has no B cells. On so few cells the course trains networks of a quarter of the
# paper's widths; on other data it takes the paper's.

# %%
adata = handover.prepared(settings)
keys = [key for key in settings.keys if key in adata.obs]  # your own file may have no cell types
sizes = adata.obs.groupby(keys[::-1], observed=False).size()
sizes.unstack() if keys[1:] else sizes.to_frame("cells")

# %% [markdown]
# ## One call
#
# `integrate` runs both stages and returns a copy of the data with the results in it. (To keep the trained
# networks, use the class: `model = imap_keras.IMAP()`, `model.fit_transform(adata)`,
# `model.save("folder")`.) The next cell does it with the small networks, and through a file, so that
# later notebooks can go on from there:
#
# ```python
# adata = imap_keras.integrate(adata, batch_key="batch", seed=0)
# ```

# %%
model, adata = handover.integrated(settings)
print("Merged in the order", " -> ".join(model.order))
model.pair_counts

# %%
pd.Series(
    {
        'obsm["X_imap_content"]': f"content code of stage I, {adata.obsm['X_imap_content'].shape}",
        'layers["imap"]': f"corrected expression, 0 or more, {adata.layers['imap'].shape}",
        'obsm["X_imap"]': f"components of it, before clipping, {adata.obsm['X_imap'].shape}",
        'uns["imap"]': ", ".join(adata.uns["imap"]),
    }
)

# %% [markdown]
# ## Picture 1: before and after
#
# A UMAP is a map of cells in which neighbours stay neighbours. Distances between islands mean little. So beside
# it a number: of the 15 nearest neighbours of a cell, how many are of its own batch, and how many of its own type?


# %%
def share_alike(space, labels):
    """Share of a cell's 15 nearest neighbours that have its label, on average over the cells."""
    near = NearestNeighbors(n_neighbors=15).fit(space).kneighbors(return_distance=False)
    return np.mean(labels[near] == labels[:, None])


# %%
spaces = {"before (PCA)": "X_pca", "after (iMAP)": "X_imap"}
alike = pd.DataFrame(index=keys)
for title, space in spaces.items():
    labels = [adata.obs[key].to_numpy(str) for key in alike.index]
    alike[title] = [share_alike(adata.obsm[space], of_key) for of_key in labels]
alike["chance"] = [(adata.obs[key].value_counts(normalize=True) ** 2).sum() for key in alike.index]
alike.round(3)

# %%
figure = plots.before_after(adata, spaces, keys, seed)
settings.save_figure(figure, "00_before_after")

# %% [markdown] claims=["own_batch_before", "own_batch_after", "own_batch_chance", "own_type_change"]
# **What to see:**
#
# - Top: the batches lie apart before and overlap after. Of a cell's neighbours 87 % were of its own batch, now
#   37 % are; chance is 34 %.
# - Bottom: the types are as far apart as they were. The share of neighbours of the own type changes by 0.00.

# %% [markdown]
# ## Picture 2: generator against critic
#
# The critic gives each cell a score. Its *Wasserstein estimate* is the mean score of anchor cells minus that of
# carried cells, those that the generator moved: how far apart it finds the two.

# %%
curves = model.history["stage2"]
settings.save_figure(plots.critic_curves(curves), "00_critic")

# %% [markdown] claims=["first_estimate", "lowest_estimate", "last_estimate", "pair_loss_change"]
# **What to see:**
#
# - The estimate starts near 0: a new critic scores all cells nearly alike.
# - It dips to -1.5. A distance is never below 0: here the critic is behind the generator, and its estimate is
#   wrong. Then it learns finer differences, and the estimate ends at 0.4.
# - The pair loss wanders by at most 5 %. Most of it is the cells' own noise, which nobody can guess.

# %% [markdown]
# ## Picture 3: the index, one number per cell
#
# The course measures an integration by the **index** of the paper. A cell is *negative* if at least half of its 20
# nearest neighbours are of another type, else *positive*. It is *true positive* if, on top, its 100 nearest
# neighbours come from the batches in the proportions that its type has. How far they may deviate says the
# *threshold*, in standard deviations of a random draw. (Notebook 06 has the formula. In small types all
# neighbours of the type are taken.)

# %%
batch = adata.obs[batch_key]
cell_type = adata.obs[label_key] if keys[1:] else ["any"] * adata.n_obs  # of one type: mixing only
index = {
    title: metrics.imap_index(adata.obsm[space], batch, cell_type, threshold=3.0, space_name=space)
    for title, space in spaces.items()
}
settings.save_figure(plots.index_bars(index, "The paper's index"), "00_index")

# %% [markdown] claims=["true_positive_before", "true_positive_after", "ceiling", "negative_change"]
# **What to see:**
#
# - Green, true positive, grows from 0.19 to 0.84. Perfect mixing would have 1.00.
# - Orange, negative, changes by 0.01: about as many cells as before have mostly foreign neighbours.

# %% [markdown]
# ## Exercises
#
# Write between the marks. The cell after it says what it thinks, in green or in red, and goes on either way.
#
# **1. Predict.** Suppose a type has so many cells that a neighbourhood is like a draw with replacement. With two batches,
# mixed perfectly, the deviation is then about normal, and at threshold 1 a share of $P(|z| \le 1) = 0.683$ passes. What
# share passes at the threshold 3 used above, in per cent, to one decimal? (In small types the neighbours are most of the
# type. They deviate less, and more cells pass.)

# %% tags=["exercise"] exercise="nb00_threshold_three" level="a" points=1 minutes=5
per_cent, reason = None, ""
### BEGIN SOLUTION
per_cent = 99.7
reason = "Of a normal deviation a share of 0.997 lies within three standard deviations."
### END SOLUTION

# %% tags=["check"]
check("nb00_threshold_three", per_cent, reason)

# %% [markdown]
# **2. Write.** Which cells are negative? `own` holds the type of each cell, `near` the types of its nearest neighbours, one
# row for each cell. Give True for a cell if at least half of its neighbours are of another type.


# %% tags=["exercise"] exercise="nb00_negative" level="b" points=2 minutes=10
def is_negative(own, near):
    ### BEGIN SOLUTION
    foreign = near != own[:, None]
    return foreign.mean(axis=1) >= 0.5
    ### END SOLUTION


# %% tags=["check"]
check("nb00_negative", is_negative)

# %% [markdown]
# **3. Discuss.** Somebody integrates data so that all cells, whatever their type, come out as one round cloud. What do the
# three pictures of this notebook show then, and which number gives it away?

# %% [markdown] tags=["rubric"] exercise="nb00_one_cloud" level="c" points=3 minutes=10
# - 1 point: in the UMAP the batches overlap perfectly (the upper row looks like success), but so do the types (lower row).
# - 1 point: the critic's curve ends near zero, because it compares batches and never sees a type.
# - 1 point: the negative cells of the index, or the share of neighbours of the own type, give it away. Mixing alone is
#   not a success.

# %%
check.table()

# %% [markdown]
# ## Your own data
#
# Put the path of an `.h5ad` file with counts (or log-normalised values) into `dataset` at the top, and the
# names of its batch and cell-type columns into `batch_key` and `label_key`. The bounds of the last table are
# the demo's: they do not apply to your data. Or in your own script:
#
# ```python
# import anndata, imap_keras
# adata = anndata.read_h5ad("mine.h5ad")                       # counts in X or layers["counts"]
# adata = imap_keras.preprocess(adata, batch_key="donor")      # log-normalised, variable genes
# adata = imap_keras.integrate(adata, batch_key="donor")       # both stages
# adata.write_h5ad("mine_integrated.h5ad")
# ```
#
# Which notebook is for you?

# %%
settings.save_figure(drawings.which_notebook(), "00_which_notebook")

# %% [markdown]
# ## What was learnt
#
# Two stages, one call, and three things to look at every time: the embedding coloured by batch *and* by
# type, the critic's curve, and a score that punishes mixing what should stay apart.

# %% tags=["plumbing"]
before, after = index.values()
results.add("true_positive_gain", after["true_positive"] - before["true_positive"], ">= 0.15")
results.add("positive_after_minus_before", after["positive"] - before["positive"], ">= -0.05")
results.add("pairs_found", int(model.pair_counts["mnn"].min()), ">= 500")
if told:
    first, last = (curves.groupby("batch").nth(place) for place in (0, -1))
    before_of, after_of, chance = (alike[name] for name in alike)
    results.add("own_batch_before", before_of[batch_key], ">= 0.8")
    results.add("own_batch_after", after_of[batch_key], "<= 0.5")
    results.add("own_batch_chance", chance[batch_key], "<= 0.4")
    results.add("own_type_change", abs(after_of[label_key] - before_of[label_key]), "<= 0.03")

# %% tags=["plumbing"]
if told:
    results.add("true_positive_before", before["true_positive"], "<= 0.3")
    results.add("true_positive_after", after["true_positive"], ">= 0.7")
    results.add("ceiling", after["ceiling"], ">= 0.95")
    results.add("negative_change", abs(after["negative"] - before["negative"]), "<= 0.04")
    drift = last["pair_loss"].to_numpy() / first["pair_loss"].to_numpy() - 1
    results.add("first_estimate", abs(first["wasserstein"]).max(), "<= 0.5")
    results.add("lowest_estimate", curves["wasserstein"].min(), "<= -0.3")
    results.add("last_estimate", last["wasserstein"].min(), ">= 0.1")
    results.add("pair_loss_change", abs(drift).max(), "<= 0.1")
results.save()

# %% tags=["plumbing"]
versions_table()
