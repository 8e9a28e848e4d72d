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
# # 10 · scArches: map a query onto a frozen reference
#
# **You will learn** how a new batch joins a trained model without a single reference cell: architecture
# surgery on a conditional VAE (Lotfollahi et al., Nature Biotechnology 2022), label transfer that may say
# "Unknown", sharing a model instead of data, and the same for iMAP. **Time** on two cores: about
# 4 minutes; the first time it fetches 8 MB.

# %% tags=["parameters"]
seed = 0
epochs = None
n_genes = 500
fast = False
output_dir = "../build/course"

# %%
from pathlib import Path
from tempfile import TemporaryDirectory

import anndata
import keras
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import scanpy as sc
import tensorflow as tf

# %%
import imap_keras
from imap_keras import datasets, plots, scarches
from imap_keras.course import Results, SkipNotebook, check, handover, versions_table
from imap_keras.nn.blocks import LayerSeeds
from imap_keras.scarches.losses import EPSILON, WIDTHS
from imap_keras.scarches.network import FIRST_LAYERS, BatchTable, Log1p

settings = handover.Settings("sc_mixology", seed, epochs, output_dir, fast)
results = Results("10_scarches_query_to_reference", output_dir, settings.as_dict())
project = plots.pca_of if fast else plots.umap_of  # what a figure shows of a latent space
n_genes = min(n_genes, 300) if fast else n_genes

# %% [markdown]
# ## Reference and query
#
# The reference is three CEL-seq2 plates with five cell lines. The query, new to the model, is a Drop-seq and
# a CEL-seq2 experiment with three of the lines. Variable genes are chosen on the reference **alone**: when a
# reference is trained, its queries have not been measured yet.

# %%
try:
    raw = datasets.sc_mixology()
except ConnectionError as error:
    raise SkipNotebook(str(error)) from None
raw = raw[~raw.obs["doublet"]].copy()
is_query = raw.obs["batch"].isin(["dropseq", "celseq2"])
cells = imap_keras.preprocess(raw[~is_query].copy(), n_top_genes=n_genes)
query = raw[is_query].copy()
raw.obs.groupby(["cell_type", "batch"], observed=False).size().unstack()

# %% [markdown]
# ## The network: only the first layers read the batch
#
# A conditional VAE encodes a cell *and its batch*, and decodes the code *and a batch*. In each of the two
# networks the first layer adds one row of weights for the batch (a `BatchTable`: a dense layer on the one-hot
# batch, without bias) to a dense layer on the rest. No later layer sees the batch, so whatever a batch does
# to a cell has to pass through these rows.


# %% tags=["lesson"]
def hidden_blocks(x, batch, hidden, dropout, n_frozen, seeds, name, bias=True, epsilon=1e-3):
    for number, units in enumerate(hidden, start=1):
        x = seeds.dense(units, f"{name}_dense_{number}", use_bias=bias)(x)
        if number == 1:  # the one layer that reads the batch
            rows = BatchTable(units, batch.shape[-1], n_frozen, seed=seeds.draw(), name=f"{name}_batch")
            x = keras.layers.Add(name=f"{name}_first")([x, rows(batch)])
        norm = {"epsilon": epsilon, "name": f"{name}_norm_{number}"}
        x = keras.layers.LayerNormalization(center=False, scale=False, **norm)(x)
        x = keras.layers.ReLU(name=f"{name}_relu_{number}")(x)
        if dropout:
            x = keras.layers.Dropout(dropout, seed=seeds.draw(), name=f"{name}_dropout_{number}")(x)
    return x


# %% tags=["lesson"]
def build_conditional_encoder(
    n_genes, n_batches, latent_dim=10, hidden=(128, 128), counts=True, dropout=0.05, n_frozen=0,
    norm_epsilon=1e-3, seed=0,
):  # fmt: skip
    seeds = LayerSeeds(seed)
    cells, batch = keras.Input((n_genes,), name="cells"), keras.Input((n_batches,), name="batch")
    x = Log1p(name="log1p")(cells) if counts else cells
    x = hidden_blocks(x, batch, hidden, dropout, n_frozen, seeds, "encoder", epsilon=norm_epsilon)
    heads = [seeds.dense(latent_dim, f"encoder_{head}")(x) for head in ("mean", "log_variance")]
    return keras.Model([cells, batch], heads, name="conditional_encoder")


# %%
small = build_conditional_encoder(20, 3, latent_dim=2, hidden=(8, 8))
code = small([np.ones((3, 20), "float32"), np.eye(3, dtype="float32")])[0]
print("one cell, three batches, three codes:", code.numpy().round(2).tolist())

# %% [markdown]
# ## The likelihood: counts are negative binomial
#
# The decoder gives each gene its share of the cell's counts; times the library size that is the expected
# count $\mu$. Counts scatter more than Poisson, by a dispersion $r$ for each gene and batch: variance
# $\mu + \mu^2 / r$.


# %% tags=["lesson"]
def negative_binomial(counts, mean, dispersion):
    log_total = tf.math.log(mean + dispersion + EPSILON)
    ways = tf.math.lgamma(counts + dispersion) - tf.math.lgamma(dispersion) - tf.math.lgamma(counts + 1)
    failures = dispersion * (tf.math.log(dispersion + EPSILON) - log_total)
    successes = counts * (tf.math.log(mean + EPSILON) - log_total)
    return ways + failures + successes


# %%
numbers = np.arange(200, dtype="float32")[:, None]
probability = np.exp(negative_binomial(numbers, 0 * numbers + 4, 0 * numbers + 2))[:, 0]
mean = float((numbers[:, 0] * probability).sum())
variance = float((numbers[:, 0] ** 2 * probability).sum() - mean**2)
print(f"sum {probability.sum():.3f}, mean {mean:.2f}, variance {variance:.2f} = 4 + 4 * 4 / 2")

# %% [markdown]
# ## The discrepancy between batches
#
# The code should not tell batches apart. Maximum mean discrepancy (MMD) compares two clouds through kernels
# of many widths and is 0 only where they agree. Each minibatch holds the same number of rows from every
# batch, so it is one reshape and some means.


# %% tags=["lesson"]
def mmd(z, n_batches, widths=WIDTHS["published"]):
    squared = tf.reduce_sum((z[:, None] - z[None]) ** 2, axis=2)
    kernel = tf.reduce_sum(tf.exp(-squared[..., None] / (2 * np.float32(widths))), axis=2)
    rows = tf.shape(z)[0] // n_batches
    blocks = tf.reshape(kernel, (n_batches, rows, n_batches, rows))
    mean = tf.reduce_mean(blocks, axis=(1, 3))  # batches x batches
    # The sum over pairs i < j of m_ii + m_jj - 2 m_ij.
    return n_batches * tf.linalg.trace(mean) - tf.reduce_sum(mean)


# %% [markdown]
# The loss is minus the log-likelihood, plus the KL divergence of the code to a standard normal (its weight
# grows over the first epochs), plus MMD. Held-out cells of every batch watch it: training stops when it no
# longer falls, and the best weights come back.

# %%
options = {"seed": seed} | ({"epochs": 40, "kl_epochs": 40} if fast else {})
mapping = {"epochs": 12 if fast else 60}  # few weights settle soon
if epochs is not None:
    options["epochs"] = mapping["epochs"] = epochs
reference = scarches.Reference(**options).fit(cells, batch_key="batch", verbose=0)
curves = plots.loss_curves(
    reference.history, ["val_loss", "reconstruction", "kl"], "Training the reference"
)
settings.save_figure(curves, "10_training")

# %% [markdown]
# **What to see:** the loss of held-out cells falls fast, then slowly. The KL term rises while its weight is
# still small, and is pushed down as the weight grows.
#
# ## Surgery
#
# A new batch gets a new row in every table. All else is copied and, by degree, frozen: with `"batch"` only
# the new rows learn, with `"first_layer"` the dense layers beside them too, with `"all"` everything.


# %% tags=["lesson"]
def copy_weights(old, new):
    for layer in new.layers:
        if isinstance(layer, BatchTable):
            rows, known = layer.rows(), old.get_layer(layer.name).rows()
            rows[: len(known)] = known
            layer.set_rows(rows)
        elif layer.weights:
            layer.set_weights(old.get_layer(layer.name).get_weights())


# %% tags=["lesson"]
def freeze(network, degree):
    for layer in network.layers:
        first = degree == "first_layer" and layer.name in FIRST_LAYERS
        layer.trainable = degree == "all" or first or isinstance(layer, BatchTable)


# %% [markdown]
# Surgery by hand, to see where query cells land before anything is trained for them: known rows in front, two
# random rows behind. The genes are found by name; the sentence says what was missing.

# %%
hp = reference.hyperparameters
surgery = scarches.build_conditional_encoder(cells.n_vars, 5, dropout=0.0, n_frozen=3, seed=seed + 1)
copy_weights(reference.encoder, surgery)
freeze(surgery, "batch")
counts, sentence = scarches.align_genes(query, reference.genes, hp.likelihood)
one_hot = np.eye(5, dtype="float32")[np.where(query.obs["batch"] == "celseq2", 3, 4)]
untrained = surgery([counts, one_hot], training=False)[0].numpy()
print(
    sum(int(np.prod(w.shape)) for w in surgery.trainable_weights), "weights of the encoder would learn"
)

# %% [markdown]
# `map_query` does this for encoder and decoder and trains the new rows, without dropout and without weight
# decay (decay would shrink old rows although no query cell reads them). What comes back is a new, grown
# reference.

# %%
grown = reference.map_query(query, batch_key="batch", verbose=0, **mapping)
grown.parameter_table()

# %%
logged = imap_keras.preprocess(query, n_top_genes=query.n_vars, min_genes=1, min_cells=0, verbose=0)
everything = anndata.concat([cells, logged[:, cells.var_names]])
everything.obsm["before"] = np.concatenate([reference.latent(cells), untrained])
everything.obsm["after"] = grown.latent(everything)
sc.pp.pca(everything, n_comps=30, random_state=seed)
spaces = {"PCA": "X_pca", "untrained rows": "before", "trained rows": "after"}
figure = plots.before_after(everything, spaces, seed=seed, project=project)
settings.save_figure(figure, "10_latent")

# %% [markdown]
# **What to see:** in the principal components the query batches lie apart from the plates and from each other. Even
# with untrained rows the network puts each line into one island, since it had to forget three plates; query
# and plates still fill different sides of it. Trained rows mix them more.
#
# ## The proof: nothing else moved
#
# Every weight of the reference is in the grown one, bit by bit, and reference cells keep their latent
# means exactly, not nearly.


# %%
def frozen_weights(model):
    """All weights but the batch rows, by layer."""
    layers = [layer for network in model.networks.values() for layer in network.layers]
    return [w for layer in layers if not isinstance(layer, BatchTable) for w in layer.get_weights()]


def known_rows(model):
    """Rows of the three reference batches in every table."""
    layers = [layer for network in model.networks.values() for layer in network.layers]
    return [layer.rows()[:3] for layer in layers if isinstance(layer, BatchTable)]


# %%
before, after = (frozen_weights(model) + known_rows(model) for model in (reference, grown))
identical = all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
moved = np.abs(grown.latent(cells) - reference.latent(cells)).max()
print(f"{len(before)} tensors, bit-identical: {identical}; reference cells moved by {moved}")

# %% [markdown]
# ## What it costs, beside training anew
#
# Time is processor time (other programs do not count), from the end of the first epoch, which builds
# TensorFlow's graphs, as long for one as for the other. MMD takes every batch to hold the same types, and the
# five batches do not: anew it is left out (with it, training anew forces lines together that are not the
# same). Two new batches need $2 \times h_0$ weights each for the two first layers ($h_0 = 128$) and one
# dispersion for each gene. Training anew on all five batches needs every weight and every cell.

# %%
anew = scarches.Reference(**options, mmd_weight=0.0).fit(everything, batch_key="batch", verbose=0)
trained, total = grown.parameter_table().loc["total"]
formula = 2 * (2 * hp.hidden[0] + cells.n_vars)
print(f"{trained} weights trained = formula {formula}, of {total}")
clocks = {"mapped": grown.history["seconds"], "anew": anew.history["seconds"]}
seconds = {name: clock.iloc[-1] - clock.iloc[0] for name, clock in clocks.items()}
for name, clock in clocks.items():
    print(f"{name}: {seconds[name]:.1f} s in {len(clock)} epochs, {clock.iloc[0]:.1f} s for the first")

# %%
figure, axes = plt.subplots(1, 2, figsize=(8, 2.2), layout="constrained")
for axis, values, title in zip(
    axes, ((trained, total), seconds.values()), ("trained parameters", "seconds")
):
    axis.barh(list(seconds), list(values), color=plots.COLORS[:2])
    axis.set(title=title, xscale="log" if title != "seconds" else "linear")
plt.close(figure)
settings.save_figure(figure, "10_parameters")

# %% [markdown]
# **What to see:** the left axis is logarithmic. On this small network mapping trains about a hundredth of the
# weights; the paper's four orders of magnitude belong to atlases with larger networks.
#
# ## Label transfer
#
# A query cell asks its 50 nearest reference cells. Nearer ones have more say, and what the winner lacks to
# the whole vote is the uncertainty; above a threshold the cell is "Unknown".


# %% tags=["lesson"]
def neighbor_weights(distances):
    spread = distances.std(axis=1, keepdims=True)
    nearness = -distances * (spread / 2) ** 2
    weights = np.exp(nearness - nearness.max(axis=1, keepdims=True))  # the nearest one never vanishes
    return weights / weights.sum(axis=1, keepdims=True)


# %%
truth = query.obs["cell_type"].astype(str).to_numpy()
labels = cells.obs["cell_type"].astype(str).to_numpy()


def transferred(model):
    """Labels of the query by the reference cells, in the model's latent space."""
    return scarches.transfer_labels(model.latent(cells), labels, model.latent(query))


# %%
table, table_anew = transferred(grown), transferred(anew)
accuracy, accuracy_anew = ((t["label"] == truth).mean() for t in (table, table_anew))
print(f"right: {accuracy:.3f} mapped, {accuracy_anew:.3f} trained anew")
pd.crosstab(pd.Series(truth, name="truth"), table["label"])

# %% [markdown]
# ## Batch mixing
#
# iLISI asks how many batches a neighbourhood holds: 0 one, 1 all. (A549 and H838 are on the plates alone, so
# even perfect mixing stays well below 1 here.)

# %%
from scib_metrics import ilisi_knn

from imap_keras.metrics import scib_neighbors


def ilisi(space, cells=everything):
    """iLISI of cells from their 90 nearest neighbours, as scib-metrics counts them."""
    codes = cells.obs["batch"].astype("category").cat.codes.to_numpy()
    return float(ilisi_knn(scib_neighbors(space, 90), codes))


# %%
mixing = {"PCA": ilisi(everything.obsm["X_pca"]), "mapped": ilisi(everything.obsm["after"])}
mixing["anew"] = ilisi(anew.latent(everything))
pd.Series(mixing, name="iLISI").round(3).to_frame()

# %% [markdown]
# ## Three degrees
#
# The more is freed, the further reference cells drift from where they were published.

# %%
grown_by = {"batch": grown}
for degree in ("first_layer", "all"):
    grown_by[degree] = reference.map_query(query, degree=degree, verbose=0, **mapping)
home = reference.latent(cells)
rows = {}
for degree, model in grown_by.items():
    drift = np.linalg.norm(model.latent(cells) - home, axis=1).mean() / np.linalg.norm(home.std(0))
    rows[degree] = {"trained": model.parameter_table().loc["total", "trained"], "drift": drift}
    rows[degree] |= {"right": (transferred(model)["label"] == truth).mean()}
    rows[degree] |= {"iLISI": ilisi(model.latent(everything)), "loss": model.history["val_loss"].min()}
degrees = pd.DataFrame.from_dict(rows, orient="index")
degrees.round(3)

# %% [markdown]
# **What to see:** only with `"batch"` is the drift zero; `drift` is how far reference cells moved, in units of
# their spread. With `"all"` free they move most, and the loss of the query need not fall for it. (`"batch"`
# trains its few rows at a higher learning rate, so the three losses are not strictly comparable.)

# %%
figure, axes = plt.subplots(1, 3, figsize=(9, 2.2), sharey=True, layout="constrained")
for axis, column in zip(axes, ("drift", "loss", "iLISI")):
    axis.barh(degrees.index[::-1], degrees[column][::-1], color=plots.COLORS[0])
    axis.set(title=column if column != "loss" else "loss of held-out query cells")
axes[1].set(xlim=(0.95 * degrees["loss"].min(), None))
plt.close(figure)
settings.save_figure(figure, "10_degrees")

# %% [markdown]
# ## Cells the reference has never seen
#
# Now two plates are the reference, and A549 and H838 are taken out of it. The third plate, with all five
# lines, is the query. Can the transfer say "I do not know"?

# %%
plate, unseen = raw.obs["batch"], raw.obs["cell_type"].isin(["A549", "H838"])
known = raw[plate.isin(["celseq2_5cl_p1", "celseq2_5cl_p2"]) & ~unseen].copy()
known = imap_keras.preprocess(known, n_top_genes=n_genes, verbose=0)
third = raw[plate == "celseq2_5cl_p3"].copy()
short = {"epochs": 80, "kl_epochs": 200, "batch_size": 64} if fast else {}
without = scarches.Reference(**options | short).fit(known, verbose=0)
with_third = without.map_query(third, verbose=0, epochs=20 if fast else 60, learning_rate=1e-2)
threshold = 0.3  # three lines can be at most 2/3 uncertain
guess = scarches.transfer_labels(
    with_third.latent(known), known.obs["cell_type"], with_third.latent(third), threshold=threshold
)
pd.crosstab(pd.Series(third.obs["cell_type"].astype(str).to_numpy(), name="truth"), guess["label"])

# %%
from sklearn.metrics import roc_auc_score

is_unseen = third.obs["cell_type"].isin(["A549", "H838"]).to_numpy()
auroc = roc_auc_score(is_unseen, guess["uncertainty"])
figure, axis = plt.subplots(figsize=(5, 2.6), layout="constrained")
for kind, which in (("lines of the reference", ~is_unseen), ("A549 and H838", is_unseen)):
    axis.hist(guess["uncertainty"][which], bins=np.linspace(0, 0.7, 36), alpha=0.7, label=kind)
axis.axvline(threshold, color="0.3", lw=1, ls="--")
axis.set(xlabel="uncertainty", ylabel="cells", title=f"AUROC {auroc:.2f}")
axis.legend(frameon=False)
plt.close(figure)
settings.save_figure(figure, "10_unknown")

# %% [markdown]
# **What to see:** cells of unseen lines are more uncertain than the others, but not all of them: the vote only
# knows how much neighbours disagree, not how far away they are.
#
# ## Share the model, not the cells
#
# A saved reference holds weights, gene names and batch names, no cell. Another site maps its Drop-seq batch
# and sends back an *adaptor*: that batch's rows alone. Attached, it gives exactly what that site saw; and
# the next query, CEL-seq2, is mapped on top of it.

# %%
dropseq, celseq2 = (query[query.obs["batch"] == name].copy() for name in ("dropseq", "celseq2"))
with TemporaryDirectory() as folder:
    reference.save(f"{folder}/reference")
    loaded = scarches.Reference.load(f"{folder}/reference")
    site = loaded.map_query(dropseq, verbose=0, **mapping)
    site.save_adaptor(f"{folder}/adaptor", "dropseq")
    attached = reference.attach(f"{folder}/adaptor")
    size = {
        n: sum(f.stat().st_size for f in Path(folder, n).iterdir()) for n in ("reference", "adaptor")
    }

# %%
adaptor_gap = np.abs(attached.latent(dropseq) - site.latent(dropseq)).max()
both = attached.map_query(celseq2, verbose=0, **mapping)
print("bytes on disk:", size, "| batches:", both.batches, "| largest difference:", adaptor_gap)

# %% [markdown]
# ## The same gift for iMAP
#
# `IMAP.map_query` carries a new batch into a fitted integration: the encoder of stage I stays frozen, and
# one generator is trained. iMAP pairs cells with cells, so it does need reference cells: `reference=`. That is
# the difference to scArches, which needs none; in return every gene is corrected.

# %%
small_imap, some = handover.SMALL | {"seed": seed}, everything
if fast:  # tiny networks, two plates and one query batch
    small_imap |= {"latent_dim": 32, "hidden": (64,), "critic_hidden": (64,)}
    small_imap |= {"stage1_epochs": 8, "stage2_epochs": 12}
    some = everything[everything.obs["batch"].isin(["celseq2_5cl_p2", "celseq2_5cl_p3", "celseq2"])]
is_new = some.obs["batch"].isin(["dropseq", "celseq2"])
old, new = some[~is_new].copy(), some[is_new].copy()

# %%
imap = imap_keras.IMAP(**small_imap)
plates = imap.fit_transform(old, batch_key="batch", verbose=0)
encoder_before = imap.encoder.get_weights()
carried = imap.map_query(new, reference=old, verbose=0)
same = zip(encoder_before, imap.encoder.get_weights(), strict=True)
encoder_frozen = all(np.array_equal(a, b) for a, b in same)
some = some.copy()
some.obsm["X_imap"] = np.concatenate([plates.obsm["X_imap"], carried.obsm["X_imap"]])
imap_gain = ilisi(some.obsm["X_imap"], some) - ilisi(some.obsm["X_pca"], some)
imap.pair_counts

# %%
figure = plots.before_after(some, {"iMAP, mapped": "X_imap"}, seed=seed, project=project)
settings.save_figure(figure, "10_imap")

# %% [markdown]
# **What to see:** five islands, one for each line, with plates and query batches in them.
#
# ## Exercise
#
# A reference has 500 genes and hidden layers of 64 units. Three new batches are mapped with degree
# `"batch"` and the negative binomial. How many weights are trained?

# %%
answer = None  # a whole number

# %% jupyter={"source_hidden": true} tags=["solution"]
solution = 3 * (2 * 64 + 500)

# %%
check(answer, solution)

# %% [markdown]
# ## What was learnt
#
# Where only a few rows read the batch, a new batch is a few new rows: the rest can be frozen, to the bit, and
# shared without cells. Freeing more fits the query better and moves the reference. A transferred label needs
# an uncertainty, because some queries hold what no reference has seen.

# %%
results.add("frozen_tensors_identical", identical, "== 1")
results.add("reference_latent_moved", moved, "== 0")
results.add("trained_minus_formula", trained - formula, "== 0")
results.add("query_accuracy", accuracy, ">= 0.9")
results.add("accuracy_below_anew", accuracy_anew - accuracy, "<= 0.05")
results.add("unseen_auroc", auroc, ">= 0.8")
results.add("ilisi_above_pca", mixing["mapped"] - mixing["PCA"], "> 0")
results.add("adaptor_difference", adaptor_gap, "== 0")
results.add("times_faster_than_anew", seconds["anew"] / seconds["mapped"], ">= 3")
results.add("imap_encoder_identical", encoder_frozen, "== 1")
results.add("imap_ilisi_above_pca", imap_gain, "> 0")
results.save()

# %% tags=["plumbing"]
versions_table()
