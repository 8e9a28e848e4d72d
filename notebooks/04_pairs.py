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
# **Time** on two cores: about 1 minute, one more without notebook 03.
#
# [03 · stage I](03_stage_one.ipynb) ← → [05 · stage II](05_stage_two.ipynb) ·
# [glossary](glossary.md) · [notation](notation.md)

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
from imap_keras.course import Check, Results, drawings, handover, versions_table
from imap_keras.imap.agreement import squared_distances, unit_length
from imap_keras.imap.components import merge_order, scale_factor
from imap_keras.imap.pairs import MOST_CELLS, check_annoy, check_metric, exact_neighbors
from imap_keras.imap.training import LEAST_AGREEING, find_pairs
from imap_keras.metrics import pair_purity
from imap_keras.nn.fitting import run

# %% tags=["plumbing"]
# What the text was written for (notebook 00):
told = (dataset, seed, epochs, fast) == ("demo", 0, None, False)
settings = handover.Settings(dataset, seed, epochs, output_dir, fast, batch_key, label_key)
results = Results("04_pairs", output_dir, settings.as_dict())
check = Check("04_pairs", output_dir)

# %% [markdown]
# ## Two batches in content space
#
# The anchor is the batch that varies most (notebook 06), the query the next. The encoder comes from notebook
# 03 (or is trained now).

# %%
adata = handover.prepared(settings)
cells, labels, kinds = handover.arrays(settings)
anchor_name, query_name = merge_order(cells, labels)[:2]
scaled = cells * scale_factor(cells, settings.hyperparameters())  # notebook 03
content = run(handover.encoder(settings), cells)
query, anchor = (np.flatnonzero(labels == name) for name in (query_name, anchor_name))
print(f"query {query_name}: {len(query)} cells; anchor {anchor_name}: {len(anchor)} cells")

# %% [markdown]
# ## Nearest neighbours with annoy
#
# annoy cuts the space by random planes into a tree, again and again; near points mostly end in one leaf.
# A query walks down the trees and compares only what it meets there. All functions here return *index
# pairs*, an array of shape (pairs, 2): no distance matrix, no copied expression.
#
# Two imported checks come first. `check_metric` refuses unknown distances. `check_annoy` refuses builds of annoy that
# are known to return a single neighbour.


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


# %%
annoy_neighbors(content[anchor], content[query[:1]], k=5)

# %% [markdown]
# ## Recall: what the speed costs
#
# An exact search has the same signature, so one can stand for the other. To compare two lists of pairs as sets, each
# pair becomes one integer: its first index times `MOST_CELLS` (a number above any number of cells), plus its second.


# %% tags=["lesson"]
def pair_codes(pairs):
    return pairs[:, 0] * MOST_CELLS + pairs[:, 1]


# %% tags=["lesson"]
def recall(approximate, exact):
    return float(np.isin(pair_codes(exact), pair_codes(approximate)).mean())


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

# %% [markdown] claims=["recall_10_trees_content", "recall_10_trees_noise_as_many", "recall_10_trees_2000_points_of_noise", "recall_100_trees_2000_points_of_noise"]
# **What to see:**
#
# - Ten trees look at more points than a small batch has. So they find nearly everything: 1.00 of the content's
#   neighbours, 1.00 in as much noise.
# - Of 2,000 points of noise without any structure ten trees find 0.35, a hundred 0.95, in more time. So check the recall
#   where batches are large.

# %%
figure, axis = plt.subplots(figsize=(5.6, 3), layout="constrained")
for (name, values), color in zip(table.items(), plots.COLORS):
    axis.plot(list(values), list(values.values()), "o-", label=name, color=color)
axis.set(xscale="log", ylim=(0, 1.05), xlabel="trees", ylabel="recall of 30 neighbours")
axis.legend(frameon=False)
plt.close(figure)
alt = (
    "Recall of thirty neighbours against the number of trees, one line for each kind of data: every "
    "line rises towards one or is there from the start."
)
settings.save_figure(figure, "04_recall", alt)

# %% [markdown]
# ## Mutual nearest neighbours
#
# A cell of a type that the other batch lacks still *has* nearest neighbours there, wrong ones. But it is seldom
# *their* nearest neighbour. So both directions are asked. The right half of the drawing comes further below.

# %%
settings.save_figure(drawings.mutual_pairs_and_walk(), "04_drawing")


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

# %%
share = [pair_purity(p, kinds[query], kinds[anchor]) for p in (one_way, mutual)]
n_right, n_wrong = (
    [len(p) * w for p, w in zip((one_way, mutual), s)] for s in (share, 1 - np.array(share))
)
lost = pd.Series({"right": 1 - n_right[1] / n_right[0], "wrong": 1 - n_wrong[1] / n_wrong[0]})
lost.rename("share of the pairs that is not mutual").round(3).to_frame()

# %% [markdown]
# And where a batch lacks a type? In the demo platform C has no B cells.

# %%
every = [(kind, name) for kind in np.unique(kinds) for name in np.unique(labels)]
absent = [(kind, name) for kind, name in every if kind not in kinds[labels == name]]
kept = pd.Series(dtype=float)
for kind, name in absent[:1]:
    of_batch, others = content[labels == name], content[anchor]
    found = annoy_neighbors(of_batch, others, k)
    is_mutual = np.isin(pair_codes(found), pair_codes(mutual_neighbors(others, of_batch, k)))
    lone = kinds[anchor][found[:, 0]] == kind
    shares = [is_mutual[some].mean() for some in (lone, ~lone)]
    kept = pd.Series(shares, [f"{kind}, absent from {name}", "all others"])
kept.rename("share of the pairs that is mutual").round(3).to_frame()

# %% [markdown] claims=["wrong_hardly_more", "right_pairs_lost", "wrong_pairs_lost", "purity_of_mutual_pairs", "kept_of_missing_type", "kept_of_others"]
# **What to see:**
#
# - Here both batches hold the same six types, and asking both directions does not tell right from
#   wrong well: it drops 35 % of the right pairs and 47 % of the wrong ones. The purity is 0.84.
# - It works where it is meant to. Platform C has no B cells. Of the neighbours that B cells have there, 13 % are
#   mutual, of all others 60 %.

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
# Longer walks cover more cells and wander further from home. The library's default is 10 pairs per walk, the
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

# %% [markdown] claims=["covered_at_5", "covered_at_1", "wrong_at_1", "wrong_at_10", "wrong_at_50"]
# **What to see:**
#
# - Walks of five pairs already cover 100 % of the query cells; without walks it is 92 %.
# - The share of wrong pairs rises from 16 % to 21 % at $m = 10$ and to 28 % at $m = 50$: the price of each further
#   step.

# %%
figure, axis = plt.subplots(figsize=(5.6, 3), layout="constrained")
walks.plot(ax=axis, marker="o", color=plots.COLORS[:2], logx=True)
axis.set(xlabel="pairs per walk (m)", ylim=(0, 1.05), ylabel="share")
axis.set_xticks(list(walks.index), [str(m) for m in walks.index])
axis.minorticks_off()
plt.close(figure)
alt = (
    "Against the pairs per walk: the share of query cells that have a pair, which rises, and the share "
    "of right pairs, which falls."
)
settings.save_figure(figure, "04_walks", alt)

# %% [markdown]
# ## Which space?
#
# The content was trained for a minute, and a code that forgets the batch may forget some of the cell. The
# principal components of the expression forget less. The library's default searches in both, side by side; the
# published code in the content alone.

# %%
by_space = {}
for name in ("content", "pca", "both"):
    hp = settings.hyperparameters(pair_space=name)
    found, n_seeds = find_pairs(content, scaled, query, anchor, hp)
    covered = len(np.unique(found[:, 0])) / len(query)
    by_space[name] = (n_seeds, pair_purity(found, kinds, kinds), covered)
columns = ["mutual pairs", "purity after the walks", "query cells covered"]
pd.DataFrame(by_space, columns).T.round(3)

# %% [markdown] claims=["purity_content", "purity_pca", "purity_both", "both_purest"]
# **What to see:** here the content, the published choice, gives slightly less pure pairs (0.80). The components alone and
# both together, the default, are nearly level (0.83 and 0.82). The default was chosen on other sets (`benchmarks/README.md`).

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
# The assumption of Haghverdi et al. (2018) is that a batch effect moves all cells of a type together, at right angles
# to what tells types apart. Let $q$ be a query cell, $a_i$ an anchor cell of its type, $a_j$ any anchor cell, $d$
# a distance and $s$ the length of the move. If the assumption holds, Pythagoras says
#
# $$d^2(q, a_j) = d^2(a_i, a_j) + s^2 .$$
#
# So over all $j$ the squared distances from $q$ lie on a line of slope 1 against those from $a_i$. If $q$ is of a
# foreign type, all $a_j$ are about equally far, and the slope is near 0. The slope, by least squares with bars for
# means over $j$, is
#
# $$\mathrm{slope} = \frac{\sum_j (d^2(q, a_j) - \overline{d^2(q, a)})(d^2(a_i, a_j) - \overline{d^2(a_i, a)})}{\sum_j (d^2(a_i, a_j) - \overline{d^2(a_i, a)})^2} .$$
#
# | formula | code |
# |---|---|
# | $d^2(q, a_j)$ for all $q$, $j$ | `across` |
# | $d^2(a_i, a_j)$ for all $i$, $j$ | `within` |
# | numerator | `products` |
# | denominator | `spread` |

# %%
settings.save_figure(drawings.slope_of_a_pair(), "04_slope")


# %% tags=["lesson"]
def regression_slopes(across, within, pairs):
    across = across - across.mean(axis=1, keepdims=True)
    within = within - within.mean(axis=1, keepdims=True)
    products = (across @ within.T)[pairs[:, 0], pairs[:, 1]]
    spread = np.maximum(np.sum(within**2, axis=1), np.finfo(np.float32).tiny)
    return products / spread[pairs[:, 1]]


# %% [markdown]
# The same is asked the other way round, and the smaller slope counts. Rows are first brought to unit length, as for
# the angular distance; then the squared distance is $2 - 2\cos$ (`squared_distances`).


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

# %% [markdown] claims=["strangers_kept", "highest_foreign_slope", "low_slope_of_one_type", "high_slope_of_one_type", "purity_of_relatives_kept"]
# **What to see:**
#
# - Left, every pair joins foreign types. The highest slope is 0.28, so none passes the line at `0.5`.
# - Right, four in five pairs of one type lie between 0.65 and 0.89. That is below 1, because the distances that the line
#   is fitted against hold the noise of single cells, and noise in what one regresses on makes a slope flatter.
# - The line parts the two: of the pairs beyond it, 100 % are of one type. The library keeps these (`pair_agreement=0.5`).

# %%
figure, axes = plt.subplots(1, 2, figsize=(8, 2.8), layout="constrained", sharex=True)
bins, names = np.linspace(-0.5, 1.5, 41), ["one type", "two types"]
for axis, (title, (slope, pure)) in zip(axes, slopes.items()):
    axis.hist([slope[pure], slope[~pure]], bins, stacked=True, label=names, color=plots.COLORS[2:4])
    axis.axvline(0.5, color="black", linewidth=1)
    axis.set(title=title, xlabel="agreement of a pair", ylabel="pairs")
axes[1].legend(frameon=False, loc="upper right")
plt.close(figure)

# %%
alt = (
    "Two histograms of the agreement of pairs, one with no shared types, one with shared types, and "
    "the line at one half that parts right pairs from wrong ones."
)
settings.save_figure(figure, "04_agreement", alt)

# %% [markdown]
# What passes by chance is no evidence. So where fewer than one in twenty pass (`LEAST_AGREEING`), the library takes no pair
# and leaves the batch as it is:


# %% tags=["lesson"]
def agreeing(mnn, query, anchor, hp):
    trusted = mnn[pair_agreement(query, anchor, mnn) >= hp.pair_agreement]
    return trusted if len(trusted) >= LEAST_AGREEING * len(mnn) else mnn[:0]


# %% [markdown]
# ## Look at the pairs

# %%
from imap_keras.plots import pairs_over_embedding, umap_of

hp = settings.hyperparameters()
pairs, n_seeds = find_pairs(content, scaled, query, anchor, hp)
handover.save_first_pairs(settings, pairs)
positions = umap_of(adata, "X_pca", seed)
figure = pairs_over_embedding(positions, labels, pairs, kinds, title="Pairs over the UMAP", seed=seed)
settings.save_figure(figure, "04_pairs")

# %% [markdown] claims=["wrong_pairs", "wrong_lines_across"]
# **What to see:** grey lines join one type, red lines two. 18 % are red. Most of these stay within an island that holds
# two types; 20 % of them cross more than a quarter of the map.

# %% [markdown]
# ## Exercises
#
# **1. Read.** Three query cells have nearest anchor cells (k = 1) 0 -> 2, 1 -> 0, 2 -> 1; the anchor cells' nearest
# query cells are 0 -> 1, 1 -> 0, 2 -> 0. Which pairs (query, anchor) are mutual? Sort them by query.

# %% tags=["exercise"] exercise="nb04_by_hand" level="a" points=1 minutes=5
mutual_by_hand, reason = None, ""  # a list such as [(0, 0), (2, 1)]
### BEGIN SOLUTION
mutual_by_hand = [(0, 2), (1, 0)]
reason = "Query 2 asks for anchor 1, but anchor 1 asks for query 0."
### END SOLUTION

# %% tags=["check"]
check("nb04_by_hand", mutual_by_hand, reason)

# %% [markdown]
# **2. Write.** The same from two tables. Row $q$ of `near_anchor` holds the nearest anchor cells of query cell $q$; row $a$ of
# `near_query` the nearest query cells of anchor cell $a$. Give a sorted list of pairs (query, anchor).


# %% tags=["exercise"] exercise="nb04_mutual" level="b" points=2 minutes=12
def mutual_of_tables(near_anchor, near_query):
    ### BEGIN SOLUTION
    asked = {(q, a) for q, row in enumerate(near_anchor) for a in row}
    answered = {(q, a) for a, row in enumerate(near_query) for q in row}
    return sorted(asked & answered)
    ### END SOLUTION


# %% tags=["check"]
check("nb04_mutual", mutual_of_tables)

# %% [markdown]
# **3. Write.** One step of a walk. `links[c]` is the list of cells that cell `c` may go to, `here` the cells where the walkers
# stand, `u` a random number in [0, 1) for each walker: with three links, a walker whose number is 0.5 takes link 1. A walker
# without links stays.


# %% tags=["exercise"] exercise="nb04_walk_step" level="b" points=2 minutes=10
def walk_step(links, here, u):
    ### BEGIN SOLUTION
    there = np.array(here)
    for walker, cell in enumerate(here):
        if len(links[cell]):
            there[walker] = links[cell][int(u[walker] * len(links[cell]))]
    return there
    ### END SOLUTION


# %% tags=["check"]
check("nb04_walk_step", walk_step)

# %% [markdown]
# **4. Discuss.** Your query batch has a type that the anchor lacks. Which steps of this notebook help against its wrong pairs,
# which make them worse, and how would you notice without knowing any type?

# %% [markdown] tags=["rubric"] exercise="nb04_lacking_type" level="c" points=3 minutes=12
# - 1 point, helps: asking both directions (few of the type's neighbours are mutual), and the slope of a pair further on.
# - 1 point, worse: walks, because each wrong pair brings wrong pairs beside it; a large k.
# - 1 point, notice: query cells that few or no pairs cover, pairs of low agreement that lie together in the query's map, or
#   pairs that change when the other batch is taken as anchor.

# %%
check.table()

# %% [markdown]
# ## What was learnt
#
# Approximate search trades recall for time, and recall can be measured. Mutual neighbours help where a type is missing.
# Random walks cover more cells, and each step makes more wrong pairs. The slope of a pair says whether to trust it.
# Where types are known, measure the purity.

# %% tags=["plumbing"]
on_content, on_as_many, on_noise = table.values()
chance = sum(np.mean(kinds[query] == t) * np.mean(kinds[anchor] == t) for t in set(kinds))
purity, covered = 1 - walks["purity"], walks["query cells covered"]
results.add("recall_10_trees_content", on_content[10], ">= 0.95")
results.add("recall_10_trees_2000_points_of_noise", on_noise[10], "<= 0.6")
results.add("purity_of_mutual_pairs", pair_purity(mutual, kinds[query], kinds[anchor]), ">= 0.7")
results.add("purity_after_walks_over_chance", pair_purity(pairs, kinds, kinds) / chance, ">= 1.8")
results.add("walks_cover_more", covered[50] - covered[1], ">= 0.01")
results.add("walks_cost_purity", walks["purity"].iloc[-1] - walks["purity"].iloc[0], "<= 0")

# %% tags=["plumbing"]
beyond = {title: pure[slope >= 0.5] for title, (slope, pure) in slopes.items()}
foreign, (slope, pure) = slopes["no type shared"][0], slopes["two types shared"]
results.add("strangers_kept", len(beyond["no type shared"]) / len(foreign), "<= 0.02")
results.add("highest_foreign_slope", foreign.max(), "<= 0.5")
results.add("low_slope_of_one_type", np.quantile(slope[pure], 0.1), ">= 0.5")
results.add("high_slope_of_one_type", np.quantile(slope[pure], 0.9), "<= 1")
results.add("purity_of_relatives_kept", beyond["two types shared"].mean(), ">= 0.98")

# %% tags=["plumbing"]
if told:
    results.add("recall_10_trees_noise_as_many", on_as_many[10], ">= 0.95")
    results.add("recall_100_trees_2000_points_of_noise", on_noise[100], ">= 0.8")
    results.add("right_pairs_lost", lost["right"], ">= 0.25")
    results.add("wrong_pairs_lost", lost["wrong"], ">= 0.25")
    results.add("wrong_hardly_more", lost["wrong"] - lost["right"], "<= 0.22")
    results.add("kept_of_missing_type", kept.iloc[0], "<= 0.3")
    results.add("kept_of_others", kept.iloc[1], ">= 0.4")

# %% tags=["plumbing"]
if told:
    for m, bound in ((1, "<= 0.18"), (10, ">= 0.18"), (50, ">= 0.2")):
        results.add(f"wrong_at_{m}", purity[m], bound)
    results.add("wrong_rises_to_10", purity[10] - purity[1], ">= 0.01")
    results.add("wrong_rises_to_50", purity[50] - purity[10], ">= 0.01")
    results.add("covered_at_1", covered[1], "<= 0.985")
    results.add("covered_at_5", covered[5], ">= 0.96")

# %% tags=["plumbing"]
if told:
    pure_in = {name: value[1] for name, value in by_space.items()}
    for name, bound in (("content", "<= 0.85"), ("pca", ">= 0.8"), ("both", ">= 0.78")):
        results.add(f"purity_{name}", pure_in[name], bound)
    results.add("content_behind", min(pure_in["pca"], pure_in["both"]) - pure_in["content"], "> 0")
    results.add("both_purest", pure_in["both"] - max(pure_in["pca"], pure_in["content"]), ">= -0.04")

# %% tags=["plumbing"]
if told:
    wrong = kinds[pairs[:, 0]] != kinds[pairs[:, 1]]
    lengths = np.linalg.norm(positions[pairs[wrong, 0]] - positions[pairs[wrong, 1]], axis=1)
    results.add("wrong_pairs", wrong.mean(), "<= 0.3")
    results.add("wrong_lines_across", np.mean(lengths > np.ptp(positions) / 4), "<= 0.5")
results.save()

# %% tags=["plumbing"]
versions_table()
