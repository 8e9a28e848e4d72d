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
# # 04 · Pairs: mutual nearest neighbours, grown by random walks
#
# **You will learn** to find neighbours with annoy, to measure what its speed costs (recall), to keep only
# mutual neighbours, to grow pairs by random walks, and to count how many pairs are right (purity).
# **Time** on two cores: about half a minute, one more without notebook 03.

# %% tags=["parameters"]
dataset = "demo"
batch_key = "batch"
label_key = "cell_type"
seed = 0
epochs = None
fast = False
output_dir = "../build/course"

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import scanpy as sc
from annoy import AnnoyIndex
from scipy.sparse import csr_matrix

# %%
from imap_keras import datasets, plots, preprocess
from imap_keras.course import Results, check, handover, versions_table
from imap_keras.imap.agreement import regression_slopes, squared_distances, unit_length
from imap_keras.imap.components import merge_order
from imap_keras.imap.pairs import MOST_CELLS, check_annoy, exact_neighbors
from imap_keras.imap.training import find_pairs
from imap_keras.metrics import pair_purity
from imap_keras.nn.fitting import run

# %%
settings = handover.Settings(dataset, seed, epochs, output_dir, fast, batch_key, label_key)
results = Results("04_pairs", output_dir, settings.as_dict())

# %% [markdown]
# ## Two batches in content space
#
# The anchor is the batch of greatest total variance, the query the next. The encoder comes from notebook
# 03 (or is trained now).

# %%
adata = handover.prepared(settings)
cells, labels, kinds = handover.arrays(settings)
anchor_name, query_name = merge_order(cells, labels)[:2]
content = run(handover.encoder(settings), cells)
query, anchor = (np.flatnonzero(labels == name) for name in (query_name, anchor_name))
print(f"query {query_name}: {len(query)} cells; anchor {anchor_name}: {len(anchor)} cells")

# %% [markdown]
# ## Nearest neighbours with annoy
#
# annoy cuts the space by random planes into a tree, again and again; near points mostly end in one leaf.
# A query walks down the trees and compares only what it meets there. All functions here return *index
# pairs*, an array of shape (pairs, 2): no distance matrix, no copied expression.


# %% tags=["lesson"]
def annoy_neighbors(points, queries, k, metric="angular", n_trees=10, seed=0):
    check_metric(metric)
    check_annoy()
    index = AnnoyIndex(points.shape[1], metric)
    index.set_seed(seed + 1)  # annoy reads 0 as "use the default seed"
    for i, point in enumerate(points):
        index.add_item(i, point)
    index.build(n_trees, n_jobs=1)  # one job: several would make the trees depend on timing
    found = [index.get_nns_by_vector(query, k) for query in queries]
    query = np.repeat(np.arange(len(queries)), [len(row) for row in found])
    return np.column_stack([query, np.concatenate(found)]).astype(np.int64)


# %% [markdown]
# `check_metric` refuses unknown metrics; `check_annoy` refuses builds of annoy that are known to return a
# single neighbour.

# %%
from imap_keras.imap.pairs import check_metric

annoy_neighbors(content[anchor], content[query[:1]], k=5)

# %% [markdown]
# ## Recall: what the speed costs
#
# An exact search has the same signature, so one can stand for the other.


# %% tags=["lesson"]
def recall(approximate, exact):
    return float(np.isin(pair_codes(exact), pair_codes(approximate)).mean())


# %%
from imap_keras.imap.pairs import pair_codes

# %%
rng = np.random.default_rng(seed)
space = {f"content, {len(anchor)} cells": content[anchor]}
space["noise in 256 dimensions, as many"] = rng.normal(size=(len(anchor), 256))
space["noise in 256 dimensions, 2000"] = rng.normal(size=(2000, 256))

# %%
table = {
    name: {
        n_trees: recall(
            annoy_neighbors(points, points[:200], 30, n_trees=n_trees),
            exact_neighbors(points, points[:200], 30),
        )
        for n_trees in (1, 3, 10, 30, 100)
    }
    for name, points in space.items()
}

# %% [markdown]
# **What to see:** a small batch nearly fits into one leaf of a tree, so annoy finds everything, in noise
# too. With 2,000 points of structureless noise ten trees find only a fraction, and more trees buy recall
# with time. So check recall where batches are large.

# %%
figure, axis = plt.subplots(figsize=(5.6, 3), layout="constrained")
for (name, values), color in zip(table.items(), plots.COLORS):
    axis.plot(list(values), list(values.values()), "o-", label=name, color=color)
axis.set(xscale="log", ylim=(0, 1.05), xlabel="trees", ylabel="recall of 30 neighbours")
axis.legend(frameon=False)
plt.close(figure)
settings.save_figure(figure, "04_recall")

# %% [markdown]
# ## Mutual nearest neighbours
#
# A cell of a type that the other batch lacks still *has* nearest neighbours there, wrong ones. But it is
# rarely *their* nearest neighbour. Asking for both directions removes most wrong pairs.


# %% tags=["lesson"]
def mutual_neighbors(left, right, k, metric="angular", search=annoy_neighbors, **search_options):
    options = {"metric": metric, **search_options}
    forward = search(right, left, k, **options)
    backward = search(left, right, k, **options)[:, ::-1]
    both = np.intersect1d(pair_codes(forward), pair_codes(backward))
    return np.column_stack(np.divmod(both, MOST_CELLS))


# %%
k = 5  # few, so that the walks below have something to add; the library's default is 20
one_way = annoy_neighbors(content[anchor], content[query], k)
mutual = mutual_neighbors(content[query], content[anchor], k)
pd.DataFrame(
    {
        "pairs": [len(one_way), len(mutual)],
        "purity": [pair_purity(p, kinds[query], kinds[anchor]) for p in (one_way, mutual)],
        "query cells covered": [len(np.unique(p[:, 0])) / len(query) for p in (one_way, mutual)],
    },
    index=["nearest neighbours", "mutual nearest neighbours"],
).round(3)

# %% [markdown]
# ## Random walks
#
# Mutual pairs sit where the batches already agree. To cover more cells, both cells of a pair walk, each
# inside its own batch, along mutual neighbours; where they stand after each step is a new pair.


# %% tags=["lesson"]
def neighbor_graph(points, k, metric="angular", search=annoy_neighbors, lazy=False, **search_options):
    pairs = mutual_neighbors(points, points, k + (not lazy), metric, search, **search_options)
    return pairs if lazy else pairs[pairs[:, 0] != pairs[:, 1]]


# %% tags=["lesson"]
def random_walks(graph, starts, walk_length, seed):
    n_cells = int(max(graph.max(initial=0), starts.max(initial=0))) + 1
    links = csr_matrix((np.ones(len(graph)), (graph[:, 0], graph[:, 1])), shape=(n_cells, n_cells))
    degree, rng = np.diff(links.indptr), np.random.default_rng(seed)
    walks = np.tile(starts[:, None], walk_length)
    for step in range(1, walk_length):
        here = walks[:, step - 1]
        can_move = degree[here] > 0  # a walker without neighbours stays
        choice = links.indptr[here] + (rng.random(len(here)) * degree[here]).astype(np.int64)
        walks[can_move, step] = links.indices[choice[can_move]]
        walks[~can_move, step] = here[~can_move]
    return walks


# %% tags=["lesson"]
def random_walk_pairs(pairs, left_graph, right_graph, walk_length=50, seed=0):
    left = random_walks(left_graph, pairs[:, 0], walk_length, seed=2 * seed)
    right = random_walks(right_graph, pairs[:, 1], walk_length, seed=2 * seed + 1)
    return np.column_stack([left.ravel(), right.ravel()])


# %% [markdown]
# Longer walks cover more cells and wander further from home. The library's default is 10 pairs a walk, the
# published code takes 50.

# %%
k2 = settings.hyperparameters().k2 or 5
graphs = neighbor_graph(content[query], k2), neighbor_graph(content[anchor], k2)
walked = {
    m: random_walk_pairs(mutual, *graphs, walk_length=m, seed=seed) for m in (1, 2, 5, 10, 20, 50)
}
walks = pd.DataFrame(
    {
        "purity": {m: pair_purity(p, kinds[query], kinds[anchor]) for m, p in walked.items()},
        "query cells covered": {m: len(np.unique(p[:, 0])) / len(query) for m, p in walked.items()},
    }
)
walks.round(3)

# %% [markdown]
# **What to see:** coverage rises at once, purity falls slowly: the price of each further step.

# %%
figure, axis = plt.subplots(figsize=(5.6, 3), layout="constrained")
walks.plot(ax=axis, marker="o", color=plots.COLORS[:2], logx=True)
axis.set(xlabel="walk length m", ylim=(0, 1.05), ylabel="share")
plt.close(figure)
settings.save_figure(figure, "04_walks")

# %% [markdown]
# ## Which space?
#
# The content was trained for a minute, and a code that forgets the batch may forget some of the cell. The
# principal components of the expression forget nothing. The library's default searches in both, side by
# side; the published code in the content alone.

# %%
by_space = {}
for name in ("content", "pca", "both"):
    hp = settings.hyperparameters(pair_space=name)
    found, n_seeds = find_pairs(content, cells, query, anchor, hp)
    covered = len(np.unique(found[:, 0])) / len(query)
    by_space[name] = (n_seeds, pair_purity(found, kinds, kinds), covered)
columns = ["mutual pairs", "purity after the walks", "query cells covered"]
pd.DataFrame(by_space, columns).T.round(3)

# %% [markdown]
# ## Which pairs to trust?
#
# Mutual neighbours always exist, also between batches that share no cell type. Here are two such batches,
# simulated, beside two that share two of their six types:


# %%
def simulated(**missing):
    raw = datasets.simulate(700, 800, n_types=6, n_batches=2, missing=missing, seed=seed)
    return preprocess(raw, min_genes=50, verbose=0)


types = [f"type_{i}" for i in range(6)]
strangers = simulated(batch_0=types[:3], batch_1=types[3:])
relatives = simulated(batch_0=types[:2], batch_1=types[4:])

# %% [markdown]
# A batch effect moves all cells of a type together, at right angles to what tells types apart: that is
# what all MNN methods build on (Haghverdi et al. 2018), so let us test it. Seen from either cell of a true
# pair, the types of a batch lie equally far apart: a line through the squared distances from the one
# against those from the other has slope 1. Between foreign types the slope is near 0.


# %% tags=["lesson"]
def pair_agreement(left, right, pairs):
    left, right = unit_length(left), unit_length(right)
    across = squared_distances(left, right)
    slopes = [
        regression_slopes(across, squared_distances(right, right), pairs),
        regression_slopes(across.T, squared_distances(left, left), pairs[:, ::-1]),
    ]
    return np.minimum(*slopes)


# %%
def judged(adata):
    space = sc.pp.pca(adata.X, n_comps=30)
    first, second = (adata.obs["batch"] == name for name in ("batch_0", "batch_1"))
    found = mutual_neighbors(space[first], space[second], 20)
    one, other = (adata.obs["cell_type"].to_numpy()[side] for side in (first, second))
    return pair_agreement(space[first], space[second], found), one[found[:, 0]] == other[found[:, 1]]


slopes = {"no type shared": judged(strangers), "two types shared": judged(relatives)}

# %% [markdown]
# **What to see:** left, every pair joins foreign types, and no slope reaches the line at 0.5; right, the
# pairs of one type gather near 1, and the line parts them from the others. The library keeps the pairs
# beyond it (`pair_agreement=0.5`); where fewer than one in twenty pass, it leaves the batch as it is.

# %%
figure, axes = plt.subplots(1, 2, figsize=(8, 2.8), layout="constrained", sharex=True)
bins, names = np.linspace(-0.5, 1.5, 41), ["one type", "two types"]
for axis, (title, (slope, pure)) in zip(axes, slopes.items()):
    axis.hist([slope[pure], slope[~pure]], bins, stacked=True, label=names)
    axis.axvline(0.5, color="black", linewidth=1)
    axis.set(title=title, xlabel="agreement of a pair", ylabel="pairs")
axes[0].legend(frameon=False)
plt.close(figure)
settings.save_figure(figure, "04_agreement")

# %% [markdown]
# ## Look at the pairs
#
# **What to see:** most lines join the same region of both batches; the red ones join two cell types, and
# they run between neighbouring regions, where the types themselves are hard to tell apart.

# %%
from imap_keras.plots import pairs_over_embedding, umap_of

hp = settings.hyperparameters()
pairs, n_seeds = find_pairs(content, cells, query, anchor, hp)
handover.save_first_pairs(settings, pairs)
positions = umap_of(adata, "X_pca", seed)
figure = pairs_over_embedding(positions, labels, pairs, kinds, title="Pairs over the UMAP", seed=seed)
settings.save_figure(figure, "04_pairs")

# %% [markdown]
# ## Exercise
#
# Three query cells have nearest anchor cells (k = 1) 0 -> 2, 1 -> 0, 2 -> 1; the anchor cells' nearest
# query cells are 0 -> 1, 1 -> 0, 2 -> 0. Which pairs (query, anchor) are mutual? Sort them by query.

# %%
answer = None  # an array such as [[0, 0], [2, 1]]

# %% jupyter={"source_hidden": true} tags=["solution"]
forward = {(0, 2), (1, 0), (2, 1)}
backward = {(1, 0), (0, 1), (0, 2)}  # turned round: (query, anchor)
solution = sorted(forward & backward)

# %%
check(answer, solution)

# %% [markdown]
# ## What was learnt
#
# Approximate search trades recall for time, and recall can be measured. Mutual pairs are few and mostly
# right; random walks make them many and a little less right. Where types are known, measure the purity.

# %%
on_content, _, on_noise = (values[10] for values in table.values())
chance = sum(np.mean(kinds[query] == t) * np.mean(kinds[anchor] == t) for t in set(kinds))
results.add("recall_10_trees_content", on_content, ">= 0.7")
results.add("recall_10_trees_2000_points_of_noise", on_noise, "<= 0.6")
results.add("purity_of_mutual_pairs", pair_purity(mutual, kinds[query], kinds[anchor]), ">= 0.7")
results.add("purity_after_walks_over_chance", pair_purity(pairs, kinds, kinds) / chance, ">= 1.8")
results.add(
    "walks_cover_more",
    walks["query cells covered"].iloc[-1] - walks["query cells covered"].iloc[0],
    ">= 0.05",
)

# %%
kept = {title: pure[slope >= 0.5] for title, (slope, pure) in slopes.items()}
results.add("strangers_kept", len(kept["no type shared"]) / len(slopes["no type shared"][0]), "<= 0.02")
results.add("purity_of_relatives_kept", kept["two types shared"].mean(), ">= 0.98")
results.add("walks_cost_purity", walks["purity"].iloc[-1] - walks["purity"].iloc[0], "<= 0")
results.save()

# %%
versions_table()
