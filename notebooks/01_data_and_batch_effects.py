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
# # 01 · Data and batch effects
#
# **You will learn** what a count matrix looks like, what normalisation does, how to see a batch effect,
# and how to tell it from biology. **Time** on two cores: about half a minute.
#
# [00 · the tour](00_tour.ipynb) ← → [02 · building blocks](02_building_blocks.ipynb) ·
# [glossary](glossary.md) · [notation](notation.md)

# %% tags=["parameters"]
dataset = "demo"
batch_key = "batch"
label_key = "cell_type"
seed = 0
fast = False
output_dir = "../build/course"

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import scanpy as sc
from scipy.sparse import csr_matrix
from sklearn.neighbors import NearestNeighbors

import imap_keras
from imap_keras import datasets, metrics, plots
from imap_keras.course import Check, Results, handover, versions_table

# %% tags=["plumbing"]
told = (dataset, seed, fast) == ("demo", 0, False)  # what the text was written for (notebook 00)
settings = handover.Settings(dataset, seed, None, output_dir, fast, batch_key, label_key)
results = Results("01_data_and_batch_effects", output_dir, settings.as_dict())
check = Check("01_data_and_batch_effects", output_dir)

# %% [markdown]
# ## Counts
#
# A cell is a row, a gene a column, an entry the number of molecules seen. Most entries are zero, so the
# matrix is stored sparse (CSR: only what is not zero).

# %%
adata = datasets.load(dataset)
counts = csr_matrix(adata.layers.get("counts", adata.X))
print(f"{adata.n_obs} cells x {adata.n_vars} genes, {1 - counts.nnz / np.prod(counts.shape):.0%} zeros")
pd.DataFrame(counts[:5, :8].toarray().astype(int), adata.obs_names[:5], adata.var_names[:8])

# %% [markdown] claims=["depth_ratio"]
# **What to see:** the batches differ in how many molecules they catch from a cell, the *depth*. The median of
# the deepest batch is 1.6 times that of the shallowest.

# %%
depth = pd.DataFrame({"counts": counts.sum(axis=1).A1, "batch": adata.obs[batch_key].to_numpy()})
figure, axis = plt.subplots(figsize=(5.6, 3), layout="constrained")
groups = [group["counts"].to_numpy() for _, group in depth.groupby("batch", observed=True)]
axis.boxplot(groups, orientation="vertical", showfliers=False)
axis.set_xticklabels(list(depth.groupby("batch", observed=True).groups))
axis.set(ylabel="molecules per cell", title="Depth differs between batches")
plt.close(figure)
alt = "Box plots of the molecules per cell, one for each batch: their medians differ."
settings.save_figure(figure, "01_depth", alt)

# %% [markdown]
# ## Normalise, log, select
#
# `preprocess` leaves out poor cells and rare genes, then does three things:
#
# 1. It divides each cell by its depth and multiplies by 10,000.
# 2. It takes `log(1 + x)`. So a gene that doubles counts about the same whether it is strong or stronger, once it
#    is well above 1: from 100 to 200 adds $\log(201 / 101) = 0.69$. Below 1 the logarithm is nearly a straight
#    line: from 0.1 to 0.2 adds only $\log(1.2 / 1.1) = 0.09$.
# 3. It keeps the most variable genes.
#
# By hand, for the first cell (all genes kept):

# %%
first = counts[0].toarray().ravel()
by_hand = np.log1p(first / first.sum() * 1e4)
ready = imap_keras.preprocess(adata, batch_key, min_genes=1, min_cells=1, n_top_genes=10**6)
difference = np.abs(by_hand - csr_matrix(ready.X)[0].toarray().ravel()).max()
print(f"largest difference from preprocess: {difference:.1e}")

# %% [markdown]
# ## Seeing a batch effect
#
# Principal components are the directions of greatest variance.

# %% [markdown] claims=["own_batch_neighbours"]
# **What to see:** normalisation took the depth away, and yet the batches are apart. Of a cell's 15 nearest
# neighbours 87 % are of its own batch. Each platform sees each gene with its own efficiency, and no factor per
# cell can undo what differs per gene.

# %%
adata = handover.prepared(settings)
figure = plots.before_after(adata, {"log-normalised": "X_pca"}, settings.keys, seed)
settings.save_figure(figure, "01_batch_effect")

# %% [markdown]
# How much of each component is batch, and how much is cell type? The share of variance between groups
# (eta squared) says it.


# %%
def share_between(values, groups):
    """Variance of the group means over the total variance."""
    means = pd.Series(values).groupby(np.asarray(groups)).transform("mean")
    return float(means.var() / np.var(values, ddof=1))


table = pd.DataFrame(
    {
        key: [share_between(adata.obsm["X_pca"][:, i], adata.obs[key]) for i in range(8)]
        for key in settings.keys
    }
)

# %% [markdown] claims=["batch_share_of_first_components", "type_share_of_first_components", "mixed_component"]
# **What to see:**
#
# - One component belongs to the batch (blue) by 74 %, another to the cell type (orange) by 91 %.
# - Not all are so pure: in one of them both shares are at least 26 %. So removing "the batch component" would
#   remove biology too.

# %%
figure, axis = plt.subplots(figsize=(6, 3), layout="constrained")
table.plot.bar(ax=axis, color=plots.COLORS[:2], rot=0)
axis.set(xlabel="principal component", ylabel="share of variance", title="What a component is about")
plt.close(figure)
alt = (
    "Bars for each principal component: the share of its variance that the batch explains, and the "
    "share that the cell type explains."
)
settings.save_figure(figure, "01_components", alt)

# %% [markdown]
# ## The simplest correction, and when it fails
#
# Subtract the mean of each batch, gene by gene. How well does that do? The *index* of notebook 00 says it: a cell
# is *positive* if most of its 20 nearest neighbours are of its type, and *true positive* if its 100 nearest also
# come from the batches as they should.

# %%
cells, labels, kind = handover.arrays(settings)


def centre(cells, labels):
    """Cells minus the mean of their batch."""
    return cells - pd.DataFrame(cells).groupby(np.asarray(labels)).transform("mean").to_numpy()


adata.obsm["X_centred"] = sc.pp.pca(centre(cells, labels), n_comps=30, random_state=seed)

# %%
spaces = {"as it is": "X_pca", "every batch centred": "X_centred"}
index = {
    title: metrics.imap_index(adata.obsm[s], labels, kind, threshold=3.0, space_name=s)
    for title, s in spaces.items()
}
settings.save_figure(plots.index_bars(index, "Centring each batch"), "01_index")

# %%
columns = ["negative", "positive", "true_positive", "ceiling"]
scores = pd.DataFrame({title: [value[c] for c in columns] for title, value in index.items()}, columns).T
scores.round(3)

# %% [markdown] claims=["true_positive_before", "true_positive_centred"]
# **What to see:** on the demo this one line works well. The share of true positive cells grows from 0.19 to 0.81.
# (Notebook 06 sets it beside iMAP.) Our made-up platforms shift each gene by nearly the same amount in every type,
# and the batches hold nearly the same types. So the difference of the means *is* the batch effect. Keep it in mind
# as a baseline.

# %% [markdown]
# The trap opens when the batches hold different types: then their means differ for biological reasons
# too, and centring removes biology with the batch. We simulate both cases and measure how far a type that
# all batches share lies from itself across batches.


# %%
def offset(missing):
    """Distance between one type's means in two batches, as it is and after centring."""
    made = datasets.simulate(n_cells=900, n_genes=500, missing=missing, seed=seed)
    made = imap_keras.preprocess(made, min_genes=1, verbose=0)
    is_first, of_type = made.obs["batch"] == "batch_1", made.obs["cell_type"] == "type_4"
    cells = {"as it is": made.X.toarray()}
    cells["centred"] = centre(cells["as it is"], made.obs["batch"])
    means = {
        name: (x[is_first & of_type].mean(0), x[~is_first & of_type].mean(0))
        for name, x in cells.items()
    }
    return {name: np.linalg.norm(a - b) for name, (a, b) in means.items()}


# %%
lacks = {"batch_1": ["type_0", "type_1", "type_2"]}
offsets = pd.DataFrame(
    {"same types everywhere": offset({}), "batch_1 lacks three of five": offset(lacks)}
)
offsets.round(2)

# %% [markdown] claims=["offset_left_same_types", "offset_left_different_types"]
# **What to see:** where the types are the same, 36 % of the offset is left after centring. Where they differ it is
# 51 %.

# %% [markdown]
# ## Simulated data: you choose the batch effect
#
# `datasets.simulate` makes counts with known types, batches and truth. Its `batch_strength` is the
# standard deviation of a batch's shift of a gene, in natural-log units.

# %%
shares = {}
for strength in (0.0, 0.25, 0.5, 1.0):
    cells_of = datasets.simulate(n_cells=450, n_genes=500, batch_strength=strength, seed=seed)
    cells_of = imap_keras.preprocess(cells_of, min_genes=1, verbose=0)
    space = sc.pp.pca(cells_of.X.toarray(), n_comps=5, random_state=seed)
    shares[strength] = np.mean([share_between(space[:, i], cells_of.obs["batch"]) for i in range(5)])
pd.Series(shares, name="share of the first five components that is batch").round(3).to_frame()

# %% [markdown] claims=["batch_share_without_effect", "batch_share_weak", "batch_share_strong"]
# **What to see:** without effect the share is 0.04, at strength `0.25` it is 0.31, at strength 1 it is 0.40. More is not
# possible: three batches have three means, these span a plane, and a plane fills two of five components.

# %% [markdown]
# ## Exercises
#
# **1. Read.** A gene has 3 molecules in a cell of 2,000 molecules. What is its value after `preprocess`?

# %% tags=["exercise"] exercise="nb01_one_value" level="a" points=1 minutes=3
value, reason = None, ""
### BEGIN SOLUTION
value = np.log1p(3 / 2000 * 1e4)
reason = "Divided by the depth, times 10,000, it is 15; then log(1 + 15)."
### END SOLUTION

# %% tags=["check"]
check("nb01_one_value", value, reason)

# %% [markdown]
# **2. Write.** The same for a whole table: `counts` is a numpy array here, a row for each cell. A cell without any molecule
# stays at zero.


# %% tags=["exercise"] exercise="nb01_normalised" level="b" points=2 minutes=10
def normalised(counts):
    ### BEGIN SOLUTION
    depth_of_cell = counts.sum(axis=1, keepdims=True)
    of_ten_thousand = counts / np.maximum(depth_of_cell, 1) * 1e4
    return np.log1p(of_ten_thousand)
    ### END SOLUTION


# %% tags=["check"]
check("nb01_normalised", normalised)

# %% [markdown]
# **3. Discuss.** A hospital sends two batches: patients in one, healthy people in the other. A colleague wants to subtract
# the mean of each batch. What is lost, and how would you plan the next experiment?

# %% [markdown] tags=["rubric"] exercise="nb01_confounded" level="c" points=3 minutes=10
# - 1 point: the difference between ill and healthy is in the same direction as the batch; subtracting the means takes both.
# - 1 point: no method can tell the two apart from such data; a mixing score would even call the result good.
# - 1 point: a plan in which each batch holds patients and healthy people (or a sample measured in both), so that what
#   differs between batches within a group is technical.

# %%
check.table()

# %% [markdown]
# ## What was learnt
#
# Normalisation removes what differs per cell, not what differs per gene and batch. A batch effect shows
# in the leading components, mixed with biology. A fixed shift per batch is a strong baseline when the
# batches hold the same types, and removes biology when they do not.

# %% tags=["plumbing"]
near = NearestNeighbors(n_neighbors=15).fit(adata.obsm["X_pca"]).kneighbors(return_distance=False)
left = offsets.loc["centred"] / offsets.loc["as it is"]
centred = offsets.loc["centred"]
price = centred["batch_1 lacks three of five"] / centred["same types everywhere"]
median_depth = depth.groupby("batch", observed=True)["counts"].median()
results.add("normalised_as_by_hand", difference, "<= 1e-4")
results.add("batch_share_without_effect", shares[0.0], "<= 0.05")
results.add("batch_share_grows", shares[1.0] - shares[0.0], ">= 0.2")
results.add("batch_share_of_first_components", table[batch_key].max(), ">= 0.2")
results.add("price_of_centring_different_types", price, ">= 1.2")

# %% tags=["plumbing"]
if told:
    before, after = scores["true_positive"]
    results.add("depth_ratio", median_depth.max() / median_depth.min(), ">= 1.3")
    results.add("own_batch_neighbours", np.mean(labels[near] == labels[:, None]), ">= 0.8")
    results.add("type_share_of_first_components", table[label_key].max(), ">= 0.5")
    results.add("mixed_component", table.min(axis=1).max(), ">= 0.1")
    results.add("true_positive_before", before, "<= 0.3")
    results.add("true_positive_centred", after, ">= 0.7")

# %% tags=["plumbing"]
if told:
    results.add("offset_left_same_types", left.iloc[0], "<= 0.45")
    results.add("offset_left_different_types", left.iloc[1], ">= 0.46")
    results.add("batch_share_weak", shares[0.25], ">= 0.2")
    results.add("batch_share_strong", shares[1.0], ">= 0.35")
results.save()

# %% tags=["plumbing"]
versions_table()
