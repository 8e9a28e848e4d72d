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
# # 17 · Interactions across platforms
#
# **You will learn** how a ligand-receptor score gets its p-value, why two platforms must not simply be stacked, what
# correction adds to that and what it does not, and when corrected values may be clipped at 0. iMAP's paper merged a deep
# platform of few cells with a shallow one of many to find interactions that neither shows. **Time** on two cores:
# about 2 minutes.
#
# [16 · which genes](16_which_genes.ipynb) ← → [18 · disease](18_disease_on_a_healthy_reference.ipynb) · needs
# [06 · several batches](06_several_batches.ipynb) · [glossary](glossary.md) · [notation](notation.md)

# %% tags=["parameters"]
seed = 0
epochs = None
fast = False
output_dir = "../build/course"

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy import sparse

from imap_keras import IMAP, datasets, plots, preprocess
from imap_keras.course import Check, Results, handover, versions_table
from imap_keras.inputs.labels import coded
from imap_keras.inputs.values import dense
from imap_keras.metrics import interaction_table
from imap_keras.nn.fitting import run

# %% tags=["plumbing"]
told = (seed, epochs, fast) == (0, None, False)  # what the text was written for (notebook 00)
settings = handover.Settings("simulated", seed, epochs, output_dir, fast)
results = Results("17_interactions_across_platforms", output_dir, settings.as_dict())
check = Check("17_interactions_across_platforms", output_dir)

# %% [markdown]
# ## Two platforms, thirty pairs
#
# Simulated, so that the truth is known. Some types are seen on one platform only: the shallow one loses `type_3`, and
# among the few cells of the deep one there is no `type_4` or `type_5`. Each ordered pair of types has one **planted** pair of genes: the
# ligand is on in the sender alone, the receptor in the receiver alone. As many **quiet** pairs are on in all types alike,
# so they are no interactions. Each platform measures each gene with an efficiency of its own.

# %%
raw = datasets.simulate_interactions(seed=seed)
adata = preprocess(raw, min_genes=20, min_cells=0, verbose=0)
pairs = adata.uns["pairs"]
planted, quiet = pairs[pairs["sender"] != ""], pairs[pairs["sender"] == ""]
pd.crosstab(adata.obs["batch"], adata.obs["cell_type"])

# %%
pairs.iloc[[0, 1, -1]]

# %% [markdown]
# ## The score
#
# Let $\bar l_s$ be the mean of the ligand over the cells of the sending type $s$, $\bar r_t$ the mean of the receptor over
# those of the receiving type $t$. The score is $\bar l_s\, \bar r_t$. Both functions take several ways to deal types to
# the cells at once: a row of `codes` for each way.


# %% tags=["lesson"]
def type_means(values, codes, n_types):
    ways, n_cells = codes.shape
    row = (codes + n_types * np.arange(ways)[:, None]).ravel()
    column = np.tile(np.arange(n_cells), ways)
    member = sparse.csr_matrix((np.ones(row.size), (row, column)), (ways * n_types, n_cells))
    sums = (member @ values).reshape(ways, n_types, -1)
    return sums / np.bincount(codes[0], minlength=n_types)[:, None]


# %% tags=["lesson"]
def pair_scores(means, ligand, receptor):
    return means[:, :, None, ligand] * means[:, None, :, receptor]


# %% [markdown]
# ## Shuffled types
#
# Is a score high? High for these genes, so it is compared with the scores of the same cells after their types were
# shuffled. Let $b$ of $n$ shuffles score as high: $p = (b + 1) / (n + 1)$. The data count as one more shuffle, because under the
# hypothesis they are one; so p is never 0. `stratum` is a group of cells within which types stay: all cells are one
# group here.


# %% tags=["lesson"]
def shuffled(codes, stratum, ways, rng):
    place = np.argsort(stratum, kind="stable")
    drawn = np.argsort(rng.random((ways, len(codes))) + stratum, axis=1)
    dealt = np.empty_like(drawn)
    dealt[:, place] = codes[drawn]
    return dealt


# %% [markdown]
# ## Many tests
#
# In blocks, so that memory stays bounded. `interaction_table` does this and adjusts all p together (Benjamini, Hochberg).


# %%
from imap_keras.metrics.interactions import ENTRIES, ROUNDING


# %% tags=["lesson"]
def permutation_p(values, codes, stratum, ligand, receptor, n_types, n_permutations, seed):
    score = pair_scores(type_means(values, codes[None], n_types), ligand, receptor)[0]
    rng, as_high = np.random.default_rng(seed), np.zeros(score.shape)
    block = max(ENTRIES // max(len(codes), score.size), 1)
    for start in range(0, n_permutations, block):
        dealt = shuffled(codes, stratum, min(block, n_permutations - start), rng)
        by_chance = pair_scores(type_means(values, dealt, n_types), ligand, receptor)
        as_high += (by_chance >= score * (1 - ROUNDING)).sum(axis=0)
    return score, (as_high + 1) / (n_permutations + 1)


# %%
types, codes = coded(adata.obs["cell_type"])
platforms, platform = coded(adata.obs["batch"])
groups = {"among all cells": np.zeros(len(codes), int), "within platforms": platform}

# %%
rate = 0.1
n_permutations = 2000 if fast else 22_000  # from 21,599 on, one of 2,160 tests can reach the rate alone
options = {"pairs": pairs[["ligand", "receptor"]].to_numpy().tolist(), "rate": rate, "seed": seed}
options |= {"n_permutations": n_permutations}
tables = {name: interaction_table(adata[adata.obs["batch"] == name], **options) for name in platforms}
tables["stacked"] = interaction_table(adata, **options)
tables["stacked, shuffled within"] = interaction_table(adata, batch_key="batch", **options)

# %%
few = pairs.iloc[:5, :2].to_numpy().tolist()
own = dense(adata[:, np.ravel(few)].X).astype(float)
genes_of = np.arange(0, 10, 2), np.arange(1, 10, 2)
_, p = permutation_p(own, codes, groups["among all cells"], *genes_of, len(types), 2000, seed)
by_library = interaction_table(adata, few, n_permutations=2000, seed=seed)["p"]
np.abs(p.ravel() - by_library).max()

# %% [markdown]
# What is found is counted in three parts. *Planted*: right. *Quiet*: false, made by the batch or by chance. *One side*:
# false too, a planted pair of genes between other types; one of them, much raised, outweighs the other.


# %%
def counted(table):
    found = table[table["p_adjusted"] <= rate]
    right, of_planted = len(found.merge(planted)), int(found["ligand"].isin(planted["ligand"]).sum())
    parts = {"planted": right, "quiet": len(found) - of_planted, "one side": of_planted - right}
    return parts | {"false share": 1 - right / max(len(found), 1)}


# %%
pd.DataFrame({name: counted(table) for name, table in tables.items()}).T.round(2)


# %% [markdown]
# The first planted pair beside the quiet one that looks most like an interaction in the stacked data:

# %%
names = ["ligand", "receptor", "sender", "receiver"]
worst = tables["stacked"].merge(quiet[names[:2]]).sort_values(["p", "score"], ascending=[True, False])
shown = pd.concat([planted[names].iloc[:1], worst[names].iloc[:1]])
again = tables["stacked, shuffled within"].merge(worst[names].iloc[:1])
own = dense(adata[:, shown[names[:2]].to_numpy().ravel()].X).astype(float)
sides = np.array([0, 2]), np.array([1, 3])  # ligands and receptors among these four genes
score = pair_scores(type_means(own, codes[None], len(types)), *sides)[0]
by_chance = {}
for name, stratum in groups.items():
    dealt = shuffled(codes, stratum, 500, np.random.default_rng(seed))
    by_chance[name] = pair_scores(type_means(own, dealt, len(types)), *sides)

# %%
figure, axes = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
for pair, (axis, kind, row) in enumerate(zip(axes, ("planted", "quiet"), shown.itertuples())):
    s, t = types.index(row.sender), types.index(row.receiver)
    for (name, scores), color in zip(by_chance.items(), plots.COLORS):
        axis.hist(scores[:, s, t, pair], 25, alpha=0.6, color=color, label=f"shuffled {name}")
    axis.axvline(score[s, t, pair], color="black", label="the cells")
    axis.set(title=f"{kind}, {row.sender} to {row.receiver}", ylabel="shuffles")
    axis.set(xlabel="mean ligand x mean receptor")
axes[0].legend(frameon=False, fontsize=8)
plt.close(figure)

# %%
alt = (
    "Histograms of the score after shuffling and a line for the cells themselves. The planted pair lies "
    "beyond all shuffles; the quiet pair beyond those among all cells, but among those within platforms."
)
settings.save_figure(figure, "17_shuffles", alt)

# %% [markdown] claims=["planted_within", "quiet_p_stacked", "quiet_p_within"]
# **What to see:**
#
# - The planted pair lies beyond all shuffles, whichever way they are made.
# - The quiet pair lies beyond those among all cells: its type is on the deep platform alone, which measures these genes better.
#   Within platforms it lies in their midst (p = 0.52). The shuffle decides what a score is compared with.
#
# Which planted pairs are found on neither platform?


# %%
def hits(table):
    return set(table[table["p_adjusted"] <= rate].merge(planted)["ligand"])


neither = planted[~planted["ligand"].isin(hits(tables["deep"]) | hits(tables["shallow"]))]
neither

# %% [markdown]
# ## Corrected
#
# **Predict.** Three remedies: leave the values and shuffle within platforms; correct them and clip at 0; correct them by a
# generator that ends in a ReLU. Which finds the fewest false ones?

# %%
guess = None  # "shuffle", "clip" or "relu"


# %%
def fitted(**changes):
    # The few deep cells are carried by a generator in any case: see `few_cells`.
    settings_of_run = settings.hyperparameters(few_cells=0, **changes).as_dict()
    return IMAP(**settings_of_run).fit(adata, verbose=0)


# %%
with_relu = fitted(relu_output=True)

# %%
model = fitted()  # its layer is clipped at 0
print(f"{', '.join(model.generators)} is carried into {model.order[0]}")

# %%
corrected = adata.copy()
for name, of in {"ReLU": with_relu, "clipped": model}.items():
    corrected.layers[name] = of.transform(adata).layers["imap"]
    tables[f"corrected, {name}"] = interaction_table(corrected, layer=name, **options)
within = interaction_table(corrected, layer="ReLU", batch_key="batch", **options)
tables["corrected, ReLU, shuffled within"] = within
counts = pd.DataFrame({name: counted(table) for name, table in tables.items()}).T
counts.round(2)

# %%
remedies = {"shuffle": "stacked, shuffled within", "clip": "corrected, clipped"}
remedies["relu"] = "corrected, ReLU"
false = counts["quiet"] + counts["one side"]
print(f"your guess: {guess}; fewest: {min(remedies, key=lambda name: false[remedies[name]])}")

# %%
figure, axis = plt.subplots(figsize=(8, 3.4), layout="constrained")
left, ways = np.zeros(len(counts)), list(counts.index)
for part, color in {"planted": "#009E73", "one side": "#E69F00", "quiet": "#D55E00"}.items():
    axis.barh(ways, counts[part], left=left, color=color, label=part)
    left += counts[part]
axis.axvline(len(planted), color="0.4", ls="--", lw=1)
axis.set(xlabel=f"interactions found at a rate of {rate}; dashed: all planted")
axis.invert_yaxis()
axis.legend(frameon=False, loc="lower right")
plt.close(figure)

# %%
alt = "Bars of what is found, planted, one side raised, quiet: " + "; ".join(
    f"{name} {row['planted']:.0f}, {row['one side']:.0f}, {row['quiet']:.0f}"
    for name, row in counts.iterrows()
)
settings.save_figure(figure, "17_counts", alt)

# %% [markdown] claims=["planted_deep", "planted_shallow", "neither_share", "neither_found", "planted_corrected", "planted_within", "quiet_left", "quiet_left_clipped", "false_share_stacked", "false_share_within", "false_share_corrected", "clipped_more_false"]
# **What to see:**
#
# - The deep platform alone shows 40 % of the planted pairs, the shallow one 67 %; on neither are 13 %, whose types never meet. Joined and
#   corrected, eight in ten or more are found, those 13 % among them.
# - Stacked, 64 % of what is found is false, nearly all quiet pairs. Correction leaves few of these. By a generator with a ReLU one in
#   five found or fewer is false; clipped at 0 more are.
# - What correction does not gain: shuffles within platforms find as much, with no network at all, and 6 % false. Another seed
#   (`-p seed 2`) tells how much is luck.
#
# ## When clipped values are right, and when not
#
# Carried values may fall below 0. A product of means needs values of at least 0, or two negative means make a high
# score: try `interaction_table(corrected, layer=...)` on unclipped values, it refuses. Clipping has a price. Where a gene is
# off, carried values lie around 0; without those below it, the mean is pushed up. The planted genes are
# off in five of six types, so it can be seen.


# %%
def carried(model):
    values = dense(adata.X).copy()
    for name, generator in model.generators.items():
        values[adata.obs["batch"] == name] = run(generator, values[adata.obs["batch"] == name])
    return values


# %%
before_clipping = carried(model)
off = np.array([[kind != s for s in planted["sender"]] for kind in adata.obs["cell_type"]])
ligands = adata.var_names.get_indexer(planted["ligand"])
moved = (adata.obs["batch"] != model.order[0]).to_numpy()
layers = {"carried": before_clipping, "clipped at 0": corrected.layers["clipped"]}
layers |= {"ReLU in the generator": corrected.layers["ReLU"]}
of_gene = {
    name: [values[moved][off[moved, i], gene].mean() for i, gene in enumerate(ligands)]
    for name, values in layers.items()
}
target = [dense(adata.X)[~moved][off[~moved, i], gene].mean() for i, gene in enumerate(ligands)]

# %%
lifted = {name: float(np.mean(np.subtract(mean, target))) for name, mean in of_gene.items()}
means = pd.DataFrame(before_clipping).groupby(adata.obs["cell_type"].to_numpy()).mean().to_numpy()
receptors = adata.var_names.get_indexer(planted["receptor"])
both_below = (means[:, None, ligands] < 0) & (means[None, :, receptors] < 0)
print(lifted, int(both_below.sum()))

# %%
figure, axis = plt.subplots(figsize=(6.4, 3.2), layout="constrained")
for row, mean in enumerate(of_gene.values()):
    axis.scatter(mean, [row] * len(mean), s=20, alpha=0.6, color=plots.COLORS[row])
axis.set_yticks([0, 1, 2], list(of_gene))
axis.axvline(np.mean(target), color="0.4", ls="--", lw=1)
axis.set(xlabel="mean of a ligand where it is off, carried cells; dashed: cells of the anchor")
axis.invert_yaxis()
plt.close(figure)

# %%
alt = (
    "Means of the ligands in cells of types in which they are off, a point for each: carried values lie "
    "on both sides of 0, clipped ones above it, those of a ReLU in the generator on the anchor's line."
)
settings.save_figure(figure, "17_clipped", alt)

# %% [markdown] claims=["lifted_clipped", "lift_ratio", "both_below"]
# **What to see:** where a ligand is off, clipping lifts the mean of the carried cells above the anchor's, many times as much as a
# generator with a ReLU, which learns where to stop. Before clipping, there are pairs of types and genes with two negative means, and so a
# score above 0.
#
# | you want | take |
# |---|---|
# | scores of products or sums of means, tools that refuse values below 0 | `layers["imap"]` of `IMAP(relu_output=True)`, else the clipped layer |
# | differences of means, a test of one gene, a regression | values that were not clipped: clipping moves the mean of genes that are off |
# | neighbours, clusters, a map | `obsm["X_imap"]` |

# %% [markdown]
# ## Exercises
#
# Write between the marks; the cell after it says what it thinks, in green or in red.
#
# **1. Predict.** 2,160 tests, 19 shuffles, a rate of 0.1. One interaction is real and strong: no shuffle scores as high. The p of
# all others are spread evenly from 0.5 to 1. What are its p, and its p after adjustment?

# %% tags=["exercise"] exercise="nb17_few_shuffles" level="a" points=1 minutes=4
both = None  # p, and p adjusted
### BEGIN SOLUTION
both = (1 / 20, 1.0)
### END SOLUTION

# %% tags=["check"]
check("nb17_few_shuffles", both)

# %% [markdown]
# **2. Write.** Benjamini and Hochberg's adjustment: of n tests, the p of rank k (the smallest has rank 1) becomes
# $p\, n / k$; but never more than that of a larger p, so the running minimum is taken from the largest p down. Return the
# adjusted p in the order in which they came.


# %% tags=["exercise"] exercise="nb17_adjusted" level="b" points=2 minutes=12
def adjusted(p):
    ### BEGIN SOLUTION
    order = np.argsort(p)
    by_rank = p[order] * len(p) / np.arange(1, len(p) + 1)
    result = np.empty(len(p))
    result[order] = np.minimum.accumulate(by_rank[::-1])[::-1]
    return result
    ### END SOLUTION


# %% tags=["check"]
check("nb17_adjusted", adjusted)

# %% [markdown]
# **3. Discuss.** A colleague has tumours on a plate-based platform and healthy tissue on droplets, corrects, and finds 200
# interactions in tumours that are not there in healthy tissue. In eight lines: what would you ask for before you
# believe them?

# %% [markdown] tags=["rubric"] exercise="nb17_tumours" level="c" points=4 minutes=12
# - 1 point: platform and tissue are the same label: what correction takes away, and what it leaves, may be either.
# - 1 point: types that only one platform has; shuffles within platforms, or quiet pairs (genes on in all types) as a
#   control of false ones.
# - 1 point: the values: counted, clipped or from a ReLU; are ligand and receptor both raised, or one of them alone?
# - 1 point: donors, not cells, are the sample; a repeat on other donors, or proteins, or cells that touch.

# %%
check.table()

# %% [markdown]
# ## What was learnt
#
# A score is high or not in comparison with shuffles, and what is shuffled decides what is found. Two platforms joined show
# interactions between types that never met on either. For the test alone, shuffles within platforms are enough;
# correction brings the values to one scale, and makes mistakes of its own. How values are kept from falling below 0 matters.

# %% tags=["plumbing"]
share = counts["planted"] / len(planted)
results.add("as_the_library", np.abs(p.ravel() - by_library).max(), "== 0")
results.add("planted_corrected", share["corrected, ReLU"], ">= 0.8")
results.add("planted_clipped", share["corrected, clipped"], ">= 0.8")
results.add("neither_share", len(neither) / len(planted), ">= 0.1")
found = neither["ligand"].isin(hits(tables["corrected, ReLU"])).mean()
results.add("neither_found", found, ">= 0.7")
results.add("quiet_gain", (counts["quiet"]["stacked"] - counts["quiet"]["corrected, ReLU"]), ">= 1")

# %% tags=["plumbing"]
if told:
    wrong = counts["false share"]
    results.add("planted_deep", share["deep"], "<= 0.5")
    results.add("planted_shallow", share["shallow"], "<= 0.8")
    results.add("planted_within", share["stacked, shuffled within"], ">= 0.8")
    results.add("false_share_stacked", wrong["stacked"], ">= 0.5")
    results.add("false_share_within", wrong["stacked, shuffled within"], "<= 0.15")
    results.add("false_share_corrected", wrong["corrected, ReLU"], "<= 0.2", 1.0)
    more = wrong["corrected, clipped"] - wrong["corrected, ReLU"]
    results.add("clipped_more_false", more, ">= 0.02", 1.0)

# %% tags=["plumbing"]
if told:
    results.add("quiet_p_stacked", worst["p"].iloc[0], "<= 0.01")
    results.add("quiet_p_within", again["p"].iloc[0], ">= 0.02")
    results.add("both_below", both_below.mean(), ">= 0.02", 0.5)

# %% tags=["plumbing"]
if told:
    results.add(
        "quiet_left", counts["quiet"]["corrected, ReLU"] / counts["quiet"]["stacked"], "<= 0.2", 1.0
    )
    left_clipped = counts["quiet"]["corrected, clipped"] / counts["quiet"]["stacked"]
    results.add("quiet_left_clipped", left_clipped, "<= 0.3", 1.0)
    lift = lifted["clipped at 0"]
    results.add("lifted_clipped", lift, ">= 0.005", 1.0)
    results.add("lift_ratio", lift / max(abs(lifted["ReLU in the generator"]), 1e-3), ">= 4", 1.0)
results.save()

# %% tags=["plumbing"]
versions_table()
