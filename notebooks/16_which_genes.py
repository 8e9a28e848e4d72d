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
# # 16 · Which genes
#
# **You will learn** how to ask a network which genes it goes by: a head on the frozen content code for cell types,
# a head on the genes for platforms and conditions, expected gradients, and how to check that nothing of the answer
# is lost. And when a plain test of each gene does better, and when it sees nothing. **Time** on two cores: about
# 1.5 minutes.
#
# [15 · convolution and uncertainty](15_convolution_and_uncertainty.ipynb) ← →
# [17 · interactions](17_interactions_across_platforms.ipynb) · [glossary](glossary.md) · [notation](notation.md)

# %% tags=["parameters"]
seed = 0
fast = False
output_dir = "../build/course"

# %%
from functools import partial

import keras
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import scanpy as sc
import tensorflow as tf
from scipy import sparse
from sklearn.metrics import roc_auc_score

# %%
import imap_keras
from imap_keras import IMAP, datasets, plots
from imap_keras.course import Check, Results, handover, versions_table
from imap_keras.imap import contrast_importance, expression_scores, gene_importance, rank_genes
from imap_keras.nn.blocks import Initializers, apply, dense_stack
from imap_keras.nn.rows import steps_of

# %% tags=["plumbing"]
settings = handover.Settings("simulated", seed, None, output_dir, fast)
results = Results("16_which_genes", output_dir, settings.as_dict())
check = Check("16_which_genes", output_dir)

# %% [markdown]
# ## Cells with three truths
#
# Whoever asks which genes matter must know the answer once, or cannot tell a good method from a bad one. And the
# truth must not be "the genes with most counts", or mean expression alone would pass. So we simulate four cell
# types, and plant the rest by arithmetic: some molecules of some genes in some cells are lost, the genes drawn at
# random among those expressed.
#
# - **Types**: `simulate` shifts a tenth of the genes in each type. `layers["truth"]` tells which.
# - **Platforms**: each of two platforms sees 40 % of the molecules of 30 genes.
# - **Condition**: two programmes of 10 genes. Each is on in half of the cells, whatever the condition. In *treated*
#   cells both are on or both are off; in *control* cells one is on and the other off.

# %%
cells = datasets.simulate(1500, 600, n_types=4, n_batches=2, batch_strength=0, seed=seed)
types, platforms = cells.obs["cell_type"].to_numpy(), cells.obs["batch"].to_numpy()
counts, rng = cells.X.toarray().astype(int), np.random.default_rng(seed)
expressed = np.flatnonzero(counts.mean(axis=0) > 1)
of_platforms, first, second = np.split(rng.choice(expressed, 80, replace=False), [60, 70])


# %%
def lose(of_cells, genes, seen):
    """Only this share of the molecules of these genes is seen in these cells."""
    where = np.ix_(np.flatnonzero(of_cells), genes)
    counts[where] = rng.binomial(counts[where], seen)


# %%
lose(platforms == "batch_0", of_platforms[:30], 0.4)
lose(platforms == "batch_1", of_platforms[30:], 0.4)
treated, first_on = rng.integers(2, size=(2, cells.n_obs)).astype(bool)
second_on = np.where(treated, first_on, ~first_on)
lose(~first_on, first, 0.2)
lose(~second_on, second, 0.2)

# %%
expected = pd.DataFrame(cells.layers["truth"], columns=cells.var_names).groupby(types).mean()
shift = np.log(expected).sub(np.log(expected).median(axis=1), axis=0)
shift = (shift - shift.median()).T
every = pd.DataFrame({name: np.arange(600) for name in ("batch_0", "batch_1")}, cells.var_names)
truth = {
    "cell_type": shift.abs() > 0.5,
    "batch": every.isin(of_platforms),
    "condition": every.isin([*first, *second]).set_axis(["control", "treated"], axis=1),
}

# %%
cells.X = sparse.csr_matrix(counts.astype("float32"))
cells.layers.clear()
cells.obs["condition"] = pd.Categorical(np.where(treated, "treated", "control"))
cells = imap_keras.preprocess(cells, batch_key="batch", min_genes=5, verbose=0)
pd.DataFrame({"genes that matter": {key: int(table.any(axis=1).sum()) for key, table in truth.items()}})

# %% [markdown]
# ## A head
#
# For cell types the head reads the code $c = E(x)$ of stage I; the encoder stays as it is. For platforms and
# conditions the same head reads the genes themselves, for the code is made to carry no platform (notebook 03). It
# gives one number a group, the *logit* $f_c$, and learns by the cross-entropy of their softmax.


# %% tags=["lesson"]
def build_head(n_inputs, n_classes, hidden=(128, 64), init=None):
    inner = [True] * len(hidden) + [False]
    stack = dense_stack(n_inputs, (*hidden, n_classes), init or Initializers(), inner, inner, "head")
    inputs = keras.Input((n_inputs,), name="head_inputs")
    return keras.Model(inputs, apply(stack, inputs), name="head")


# %% [markdown]
# ## Expected gradients
#
# The gradient of $f_c$ says what a gene would do if it changed *a little*. But a network that is sure of a type is
# flat there, and its gradient near zero. So one walks: from a background cell $x'$ to the cell $x$, on a straight
# line, and adds up what gene $i$ did on the way. Averaged over background cells and places $a$ on the line, this is
# the importance of the gene:
#
# $$\phi_i = \mathrm{E}_{x',\,a \sim U(0,1)} \left[ (x_i - x'_i) \,
# \frac{\partial f_c}{\partial x_i}\big(x' + a\,(x - x')\big) \right]$$
#
# | formula | code |
# |---|---|
# | $x$, $x'$ | `cells`, `others` |
# | $a$ | `place` |
# | $x - x'$ | `away` |
# | $c$, the group that the head predicts | `classes` |
# | $f$ | `network` |


# %% tags=["lesson"]
def path_gradients(network, cells, others, place, classes):
    away = tf.subtract(cells, others)
    point = others + place * away
    with tf.GradientTape() as tape:
        tape.watch(point)
        logit = tf.gather(network(point, training=False), classes, batch_dims=1)
    return away * tape.gradient(logit, point)


# %% [markdown]
# The background decides what a cell is compared with. It is *stratified*: each group gives as many cells, or a cell
# of a common type would be compared with its own kind nearly always. The places cover $[0, 1]$ evenly, which needs
# fewer samples than places at random. And cells come in chunks: memory holds a chunk, never cells x samples x genes.


# %% tags=["lesson"]
def stratified(codes, n, rng):
    groups = [np.flatnonzero(codes == code) for code in range(codes.max() + 1)]
    return [
        rows if n is None or len(rows) <= n else np.sort(rng.choice(rows, n, replace=False))
        for rows in groups
    ]


# %% tags=["lesson"]
def expected_gradients(gradients, cells, classes, background, n_samples, rng):
    steps = steps_of(n_samples, len(background))
    random = rng.random((len(cells), len(background), steps, 2))
    total = np.zeros_like(cells)
    for group, members in enumerate(background):
        for step in range(steps):
            which, within = random[:, group, step].T
            others = members[(which * len(members)).astype(int)]
            place = ((step + within[:, None]) / steps).astype("float32")
            total += gradients(cells, others, place, classes).numpy()
    return total / (steps * len(background))


# %% [markdown]
# Nothing may get lost. On each line the parts of all genes add up to the whole way that $f_c$ goes:
#
# $$\sum_i \phi_i = f_c(x) - \mathrm{E}_{x'}\,[f_c(x')]$$
#
# This is *completeness*. What sampling misses is given as a share of the range of $f_c$ over all cells:


# %% tags=["lesson"]
def completeness_gap(attributed, logit, background_logit, span):
    return abs(attributed - (logit - background_logit)) / span


# %% [markdown]
# A first trial, on a network whose answer is known: $f(x) = 3 x_1 - x_2$ has the importance $w_i (x_i - \bar x'_i)$.

# %%
line = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, use_bias=False)])
line.set_weights([np.float32([[3], [-1]])])
background = [np.float32([[1, 0]]), np.float32([[0, 2]])]  # two groups of one cell
expected_gradients(
    partial(path_gradients, line), np.float32([[2, 2]]), np.array([0]), background, 20, rng
)

# %% [markdown]
# ## Cell types
#
# `gene_importance` does all of it: it trains the head on the code, holds a tenth of the cells out for its accuracy,
# and explains up to 100 cells of each type. Only the encoder matters here, so stage II is cut short.

# %%
quick = {"n_samples": 24, "n_cells": 30, "epochs": 40} if fast else {}
short = {"stage1_epochs": 5 if fast else 15, "stage2_epochs": 1}
model = IMAP(**short, seed=seed).fit(cells, "batch", verbose=0)
found = {"cell_type": gene_importance(model, cells, "cell_type", verbose=0, seed=seed, **quick)}
told = {"cell_type": found["cell_type"].uns["importance"]}
print(f"accuracy on cells held out {told['cell_type']['accuracy']:.3f}")

# %% [markdown] claims=["types_gap"]
# **What to see:** each point is a cell. The importance of all genes together (upwards) is how far the cell's logit
# lies from the background's (to the right). The median cell misses it by 0.8 % of the logit's range.

# %%
table, phi = found["cell_type"].obs, found["cell_type"].X
figure, axis = plt.subplots(figsize=(4.6, 4), layout="constrained")
way = table["logit"] - table["background_logit"]
for name, color in plots.figure.colors_of(table["predicted"]).items():
    of_type = (table["predicted"] == name).to_numpy()
    axis.plot(way[of_type], phi[of_type].sum(axis=1), ".", color=color, label=name)
axis.axline((way.mean(), way.mean()), slope=1, color="0.6", lw=1, zorder=0)
axis.set(xlabel="logit less that of the background", ylabel="sum of the importance of all genes")
axis.legend(frameon=False)
plt.close(figure)
settings.save_figure(figure, "16_completeness", "The cells of all four types lie along the diagonal.")

# %% [markdown]
# Now against the truth, beside what expression alone says: the mean in the group, and scanpy's t-test and Wilcoxon
# test of the group against the rest, by size, for a gene may tell by its absence too. Two numbers for each: the
# AUROC, and how many of the first 20 genes are right.


# %%
def scores_of(key):
    """Genes x groups, by score."""
    tests = {name: expression_scores(cells, key, name.lower()) for name in ("t-test", "Wilcoxon")}
    mean = {"mean expression": expression_scores(cells, key)}
    sizes = {name: table.abs() for name, table in tests.items()}
    return {"importance": found[key].varm["importance"]} | mean | sizes


# %%
def judged(key):
    """By score: AUROC and share of right ones among the first 20 genes, means over the groups."""
    rows = {}
    for score, table in scores_of(key).items():
        right = truth[key].loc[table.index]
        auroc = np.mean([roc_auc_score(right[group], table[group]) for group in table])
        first20 = [right[group][table[group].nlargest(20).index].mean() for group in table]
        rows[score] = {"AUROC": auroc, "right of 20": np.mean(first20)}
    return pd.DataFrame(rows).T


# %%
of_types = judged("cell_type")
of_types.round(3)

# %% [markdown] claims=["types_auroc_importance", "types_auroc_mean", "types_auroc_ttest", "types_first20_ttest", "types_first20_importance", "types_ttest_above_importance"]
# **What to see:**
#
# - Importance finds the genes of the types (AUROC 0.95), and mean expression does not (0.49).
# - **The t-test finds them better** (0.98). Of the first 20 genes it has 95 % right, importance 76 %. These
#   truths are shifts of single genes, and for that a test of single genes is made. The head needs only some of the
#   genes to know a type, and says so.

# %% [markdown]
# ## Platforms
#
# `contrast_importance` needs no model: the head reads the genes.

# %%
found["batch"] = contrast_importance(cells, "batch", verbose=0, seed=seed, **quick)
told["batch"] = found["batch"].uns["importance"]
of_batches = judged("batch")
of_batches.round(3)

# %% [markdown] claims=["platforms_auroc_importance", "platforms_auroc_ttest", "platforms_auroc_mean", "platforms_gap"]
# **What to see:** the genes that one platform sees less of are found by importance (AUROC 0.98) and, without a
# fault, by the t-test (1.00), not by mean expression (0.55). The gap of completeness is 0.4 %.
#
# It reports *whatever* differs. Had one platform more cells of a type, the genes of that type would be in the list:
# compare within a type, or weigh the shares first.

# %% [markdown]
# ## What no gene tells alone
#
# In the third truth every gene has the same distribution in both conditions. Only *together* do they tell.

# %%
quick |= {"n_cells": 100, "epochs": 100}  # the defaults: what matters together is hard to learn
found["condition"] = contrast_importance(cells, "condition", verbose=0, seed=seed, **quick)
told["condition"] = found["condition"].uns["importance"]
of_conditions = judged("condition")
of_conditions.round(3)

# %% [markdown] claims=["condition_best_baseline", "condition_auroc_importance", "condition_first20_importance", "condition_accuracy"]
# **What to see:**
#
# - No baseline is better than chance: the best has an AUROC of 0.50.
# - Importance has 0.99, and of its first 20 genes 70 % are right, though its head tells only 72 % of the cells held
#   out: it need not be a good classifier to know where to look. But at chance its genes would be chance, and then it
#   warns.
# - Below: either programme alone has the same values in both conditions. Control cells lie on one diagonal and
#   treated ones on the other.

# %%
names = np.array([f"gene_{i}" for i in range(600)])
both = {"first": names[first], "second": names[second]}
level = {name: np.asarray(cells[:, genes].X.mean(axis=1)).ravel() for name, genes in both.items()}
figure, axes = plt.subplots(1, 2, figsize=(7.5, 3.6), layout="constrained", sharey=True, sharex=True)
for axis, condition, color in zip(axes, ("control", "treated"), plots.COLORS):
    of_condition = (cells.obs["condition"] == condition).to_numpy()
    axis.plot(level["first"][of_condition], level["second"][of_condition], ".", ms=3, color=color)
    axis.set(title=condition, xlabel="first programme (mean log expression)")
axes[0].set(ylabel="second programme (mean log expression)")
plt.close(figure)
alt = "Control cells have one of the two programmes; treated cells have both or neither."
settings.save_figure(figure, "16_together", alt)

# %% [markdown] claims=["condition_auroc_importance", "condition_best_baseline", "types_ttest_above_importance"]
# All three questions side by side. **What to see:** where genes shift one by one, the tests are ahead or level.
# Where genes matter together, importance alone finds them.

# %%
tables = {"types": of_types, "platforms": of_batches, "condition": of_conditions}
together = pd.DataFrame({question: table["AUROC"] for question, table in tables.items()})
figure, axis = plt.subplots(figsize=(6.5, 3), layout="constrained")
together.T.plot.bar(ax=axis, color=plots.COLORS[:4], rot=0, width=0.75)
axis.axhline(0.5, color="0.5", lw=1, ls=":")
axis.set(ylabel="AUROC of the genes that matter", ylim=(0, 1.05))
axis.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
plt.close(figure)
alt = "AUROC by question: tests lead for types, only importance is above chance for the condition."
settings.save_figure(figure, "16_scores", alt)

# %% [markdown]
# ## In scanpy
#
# `rank_genes` writes the ranking where `sc.tl.rank_genes_groups` writes its own, so that scanpy's pictures and tables
# read it. There is no test behind it: p-values and fold changes are NaN.

# %%
rank_genes(cells, found["cell_type"])
sc.get.rank_genes_groups_df(cells, "type_0").head(5)

# %% [markdown] claims=["types_first20_importance"]
# **What to see:** the first ten genes of each type by importance, drawn by scanpy. The score is in units of the
# logit. Not every gene in the list is a true one: of the first 20 it is 76 %.

# %%
axes = sc.pl.rank_genes_groups(cells, n_genes=10, sharey=False, ncols=4, show=False)
figure = axes[0].figure
figure.set_size_inches(12, 3.2)
plt.close(figure)
alt = "scanpy's panels of ranked genes: the ten most important genes of each of four types."
settings.save_figure(figure, "16_ranking", alt)

# %% [markdown]
# ## Exercises
#
# Write between the marks; the cell after it says what it thinks, in green or in red.
#
# **1. Read.** A network is a straight line, $f(x) = 2 x_1 - x_2$. The background has two groups: one of a single
# cell $(1, 1)$, one of nine cells that all are $(3, 3)$. What is the importance of the two genes in the cell
# $(3, 1)$, with the background stratified as above?

# %% tags=["exercise"] exercise="nb16_line" level="a" points=1 minutes=5
importance, reason = None, ""  # two numbers
### BEGIN SOLUTION
importance = (2 * (3 - 2), -1 * (1 - 2))
reason = "Both groups weigh alike, so the background's mean is (2, 2), whatever their sizes."
### END SOLUTION

# %% tags=["check"]
check("nb16_line", importance, reason)

# %% [markdown]
# **2. Write.** Write `along(gradient, x, other, steps)`: the importance of each gene on the line from one background
# cell `other` to the cell `x`. Take the places $a = (k + ½) / \mathrm{steps}$ for $k = 0, 1, \dots$;
# `gradient(point)` gives the gradient at a point; both cells are arrays of the same length.


# %% tags=["exercise"] exercise="nb16_along" level="b" points=2 minutes=10
def along(gradient, x, other, steps):
    ### BEGIN SOLUTION
    places = (np.arange(steps) + 0.5) / steps
    return (x - other) * np.mean([gradient(other + a * (x - other)) for a in places], axis=0)
    ### END SOLUTION


# %% tags=["check"]
check("nb16_along", along)

# %% [markdown]
# **3. Discuss.** A colleague compares patients with controls by `contrast_importance` and sends you the first 50
# genes as "the genes of the disease". The patients' samples were measured later, and hold more T cells. What do you
# ask for before you believe the list, and in which words would you report it?

# %% [markdown] tags=["rubric"] exercise="nb16_disease" level="c" points=4 minutes=15
# - 1 point for composition: compare within a cell type, or with the same shares of types.
# - 1 point for the platform: disease and day of measurement cannot be told apart here; ask for controls of the
#   same day.
# - 1 point for the head's accuracy on donors (not cells) held out, and the completeness gap.
# - 1 point for a plain test beside it, and for words that claim no cause: "the genes that this classifier goes by".

# %%
check.table()

# %% [markdown]
# ## What was learnt
#
# A head on a frozen code says which genes the code makes a type of; a head on the genes says what differs between
# any two groups. Expected gradients add up to what they explain, and that can be checked. For genes that shift one by
# one take a test: it ranks better and has p-values. Importance earns its place where genes matter together. It says
# what a network goes by, not what causes what.

# %% tags=["plumbing"]
for word, key, table in (
    ("types", "cell_type", of_types),
    ("platforms", "batch", of_batches),
    ("condition", "condition", of_conditions),
):
    auroc, first20 = table["AUROC"], table["right of 20"]
    results.add(f"{word}_auroc_importance", auroc["importance"], ">= 0.8")
    results.add(f"{word}_auroc_mean", auroc["mean expression"], "<= 0.65")
    results.add(f"{word}_first20_importance", first20["importance"], ">= 0.3")
    results.add(f"{word}_gap", told[key]["gap"], "<= 0.1")

# %% tags=["plumbing"]
for word, table in (("types", of_types), ("platforms", of_batches)):
    results.add(f"{word}_auroc_ttest", table["AUROC"]["t-test"], ">= 0.9")
    results.add(f"{word}_first20_ttest", table["right of 20"]["t-test"], ">= 0.8")
ahead = of_types["AUROC"]["t-test"] - of_types["AUROC"]["importance"]
results.add("types_ttest_above_importance", ahead, ">= 0")
results.add("types_accuracy", told["cell_type"]["accuracy"], ">= 0.9")
results.add("condition_accuracy", told["condition"]["accuracy"], ">= 0.6")
results.add("condition_best_baseline", of_conditions["AUROC"].iloc[1:].max(), "<= 0.65")
results.save()

# %% tags=["plumbing"]
versions_table()
