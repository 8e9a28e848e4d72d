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
# # 11 · Masks: one network for rows that measured different things
#
# **You will learn** how inClust+ (Wang et al., BMC Bioinformatics 25:41, 2024) trains one variational
# autoencoder on cells that do not share all their features. An input mask says what is read, an output mask
# says what the result is judged by. Five ways to mask give five tasks: impute genes, pair two modalities
# (with or without batches), join three modalities, generate one that was never measured.
# **Time** on two cores: about 1.5 minutes; the first time it fetches 15 MB.
#
# [10 · scArches](10_scarches_query_to_reference.ipynb) ← → [12 · regions](12_regions_across_species.ipynb) ·
# [glossary](glossary.md) · [notation](notation.md)

# %% tags=["parameters"]
seed = 0
fast = False
output_dir = "../build/course"

# %%
import keras
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import tensorflow as tf
from anndata import AnnData

from imap_keras import datasets, inclust, plots
from imap_keras.course import Check, Results, SkipNotebook, drawings, handover, versions_table

# %%
from imap_keras.inclust import InClust
from imap_keras.inclust.evaluation import feature_correlations, ridge_prediction, type_mean_prediction
from imap_keras.inclust.network import Expected, Mask, NegativeEntropy, Sample, safe_log
from imap_keras.inclust.plots import draw_masks
from imap_keras.metrics import partner_rank, predictability

# %% tags=["plumbing"]
settings = handover.Settings("simulated", seed, None, output_dir, fast)
results = Results("11_inclust_masks", output_dir, settings.as_dict())
check = Check("11_inclust_masks", output_dir)
project = plots.pca_of if fast else plots.umap_of  # what a figure shows of a latent space

# %% [markdown]
# ## Three modalities of the same cells
#
# These cells are simulated, so the truth is known. Each cell has a type and four continuous states. RNA, protein
# and chromatin (ATAC) each show a part of them, with noise.

# %%
cells = datasets.simulate_modalities(600 if fast else 900, n_batches=2, seed=seed)
rna, protein, atac = (cells[name] for name in ("rna", "protein", "atac"))
names = rna.obs_names
first, second = names[: len(names) // 2], names[len(names) // 2 :]
{name: adata.shape for name, adata in cells.items()}

# %% [markdown] claims=["hidden_genes_read", "query_judged_by_hidden_genes", "query_judged_by_protein"]
# ## A task is a choice of rows and masks
#
# A **block** is a set of cells with one input mask and one output mask. The same cell can stand in several blocks.
# First the scheme of the five tasks, then the masks of four of them as the code makes them.
#
# **What to see:**
# - Imputation: no row *reads* a hidden gene (grey at the right end of "what is read"). Only the reference is
#   *judged* by them.
# - Three modalities: the data sets share only the protein, and it ties them together.
# - Generation: the query is never judged by protein, because it has none.

# %%
settings.save_figure(drawings.mask_tasks(), "11_tasks")

# %%
hidden = list(rna.var_names[::4])
query = AnnData(rna[second].X.copy(), obs=pd.DataFrame(index=second), var=rna.var)
tasks = {
    "imputation": inclust.imputation(rna[first], query, hidden, label_key="cell_type"),
    "paired": inclust.paired_batches({"rna": rna, "protein": protein}, "batch", "cell_type"),
    "three": inclust.three_modalities(
        {"rna": rna[first], "protein": protein[first]},
        {"protein": protein[second], "atac": atac[second]},
    ),
    "generation": inclust.generation({"rna": rna[first], "protein": protein[first]}, {"rna": query}),
}
settings.save_figure(draw_masks(tasks), "11_masks")

# %% [markdown]
# ## The mask
#
# The mask is not a product. Where nothing was measured there may be NaN, and 0 times NaN is NaN. `where` chooses.


# %% tags=["lesson"]
def masked(values, mask):
    return tf.where(tf.not_equal(mask, 0), values, tf.zeros_like(values))


# %% [markdown]
# ## The network
#
# The encoder reads the masked cell. `yh` is the embedding of the covariate, for instance of the batch. Without
# it the latent is `z`, which the classifier and the clusters read: **z is what you want to look at**. The decoder
# reads the latent with `yh` put back and noise added. The noise is an input, so the network itself draws nothing.


# %% tags=["lesson"]
def minus_plus(z_mean, yh):
    z = keras.layers.Subtract(name="minus")([z_mean, yh])
    return z, keras.layers.Add(name="plus")([z, yh])


# %% tags=["lesson"]
def wire(inputs, parts, clusters):
    z_mean, z_log_var = parts["encoder"]([inputs["cells"], inputs["input_mask"]])  # masks its input
    yh = parts["covariates"](inputs["covariate"])
    z, plus = minus_plus(z_mean, yh)
    label = parts["classifier"](z)
    decoded = parts["decoder"](Sample(name="sample")(plus, z_log_var, inputs["noise"]))
    return {
        "reconstruction": Mask(name="reconstruction")(decoded, inputs["output_mask"]),
        "divergence": Expected(name="divergence")(label, clusters(z, z_log_var)),
        "entropy": NegativeEntropy(name="entropy")(label),
        "label": label,
    }


# %% [markdown]
# ## The losses
#
# For one row: $x_j$ is the value of feature $j$, $m_j$ its output mask (0 or 1), $\hat x_j$ what the decoder puts
# out. The encoder gives a mean $\bar z$ and a variance $s^2$ in each latent direction $k$, the covariate gives
# $y_h$, and $z = \bar z - y_h$. The classifier gives cluster $c$ the probability $y_c$; $\mu_c$ is the mean of
# that cluster. $t_c$ is 1 for the label of the row, else 0; without a label all $t_c$ are 0. The whole loss:
#
# $$L = 5 \sum_j \tfrac12 (m_j x_j - m_j \hat x_j)^2
# + 1 \sum_c y_c \,\mathrm{KL}_c + 1 \sum_c y_c \log y_c - 50 \sum_c t_c \log y_c$$
#
# $$\mathrm{KL}_c = \mathrm{KL}\big(N(\bar z, s^2) \,\|\, N(\mu_c + y_h, 1)\big)
# = \tfrac12 \sum_k \big(s_k^2 - \log s_k^2 - 1 + (z_k - \mu_{ck})^2\big)$$
#
# | formula | weight | name in the code |
# |---|---|---|
# | $\sum_j \frac12 (m_j x_j - m_j \hat x_j)^2$ | 5 | `half_squared_error`, `reconstruction_weight` |
# | $\sum_c y_c \,\mathrm{KL}_c$ | 1 | `cluster_divergence`, then `Expected`; `divergence_weight` |
# | $\sum_c y_c \log y_c$ | 1, or 0 if every row has a label | `NegativeEntropy`, `entropy_weight` |
# | $-\sum_c t_c \log y_c$ | 50 | `labelled_cross_entropy`, `label_weight` |
#
# Every cluster is a Gaussian around $\mu_c + y_h$. The second term pulls a cell towards the clusters that the
# classifier puts it in. It also costs something to be vague (large $s$) or too sure (small $s$) about its place.


# %% tags=["lesson"]
def cluster_divergence(z, log_var, means):
    spread = tf.reduce_sum(tf.exp(log_var) - log_var - 1, axis=-1, keepdims=True)
    away = tf.reduce_sum((z[:, None, :] - means[None]) ** 2, axis=-1)
    return 0.5 * (spread + away)


# %% [markdown]
# Both sides of the squared error come masked, so a feature that a row is not judged by adds 0. A row without a label
# has a target of zeros and adds 0 to the last term. Training is called supervised if every row has a label,
# semi-supervised if some have, unsupervised if none has.


# %% tags=["lesson"]
def half_squared_error(target, output):
    return 0.5 * tf.reduce_sum((target - output) ** 2, axis=-1)


# %% tags=["lesson"]
def labelled_cross_entropy(target, output):
    return -tf.reduce_sum(target * safe_log(output), axis=-1)


# %% [markdown] claims=["outputs_changed_by_masked_inputs", "gradient_through_masked_outputs"]
# ## Two things a mask must do
#
# What is masked at the input cannot change a single bit of any output. What is masked at the output sends back a
# gradient of exactly zero.

# %%
epochs = {"epochs": 35 if fast else 20, "rows_per_step": 100, "seed": seed}
rows = tasks["paired"]
model = InClust(**epochs | {"epochs": 2 if fast else 20}).fit(rows, verbose=0)
block = rows.number_of("rna->protein")
shape = (64, len(rows.features))
inputs = {
    "cells": rows.values[:64],
    "input_mask": np.broadcast_to(rows.input_masks[block], shape),
    "output_mask": np.broadcast_to(rows.output_masks[block], shape),
    "covariate": np.eye(2, dtype="float32")[rows.covariate[:64]],
    "noise": np.zeros((64, 50), "float32"),
}

# %%
disturbed = np.where(inputs["input_mask"] == 0, np.float32(1e6), inputs["cells"])
before, after = model.network(inputs), model.network({**inputs, "cells": disturbed})
changed = sum(int(np.sum(before[name].numpy() != after[name].numpy()) > 0) for name in before)
kernel = model.decoder.layers[-1].kernel
with tf.GradientTape() as tape:
    output = model.network(inputs)["reconstruction"]
    loss = tf.reduce_sum(half_squared_error(inputs["cells"] * inputs["output_mask"], output))
gradient = np.abs(tape.gradient(loss, kernel).numpy()).max(axis=0)
judged = rows.output_masks[block] == 1
print(f"outputs that changed: {changed}; largest gradient, masked {gradient[~judged].max()},")
print(f"judged {gradient[judged].max():.3g}")

# %% [markdown]
# ## Paired modalities, with and without the cross blocks
#
# RNA and protein of the same cells, in two batches. There are no labels (`n_clusters=4` says only how many
# clusters), so nothing but the masks can bring the modalities together. The ablation trains on `rna->rna` and
# `protein->protein` alone.

# %%
unlabelled = inclust.paired_batches({"rna": rna, "protein": protein}, "batch")
alone = ["rna->rna", "protein->protein"]
latents = {}
for title, r in {"cross blocks": unlabelled, "without": unlabelled.keep(alone)}.items():
    model = InClust(n_clusters=4, **epochs).fit(r, verbose=0)
    latents[title] = [model.latent(r, b) for b in alone]

# %% [markdown] claims=["modality_told_with_cross_blocks", "modality_told_without"]
# **What to see:**
# - With cross blocks (left) a cell lies at nearly the same place, read through its RNA or through its protein, so
#   the two colours mix. From the neighbours of a cell its modality is predicted with a (balanced) accuracy of 66 %.
# - Without them (right) each modality has its own islands: 98 %.

# %%
n_drawn = 250
joint = AnnData(obs=pd.concat([rna.obs[:n_drawn]] * 2).reset_index(drop=True))
joint.obs["modality"] = np.repeat(["RNA", "protein"], n_drawn)
for title, (of_rna, of_protein) in latents.items():
    joint.obsm[title] = np.vstack([of_rna[:n_drawn], of_protein[:n_drawn]])
spaces = {title: title for title in latents}
figure = plots.before_after(joint, spaces, ("modality", "cell_type"), seed, project)
settings.save_figure(figure, "11_cross_blocks")

# %% [markdown] claims=["partner_rank_without", "partner_rank_with_cross_blocks"]
# Two numbers. `modality told`: how often 15 neighbours predict the modality that a cell was read through; chance is
# one half. `partner rank`: each cell has a partner, itself read through the other modality. What share of the
# partners' cells lies nearer than its own partner? 0 is best, one half is chance. It falls from 0.62 to 0.003. Why more
# than one half without cross blocks? Each modality lays out its islands for itself, so the RNA of one type comes to lie
# beside the proteins of another; where none or one of four types meets its own, most cells have their partner on a
# far island. Another seed lays them out in another way, and gives another number.

# %%
modality = np.repeat(alone, len(names))
cross = pd.DataFrame(
    {
        title: [predictability(np.vstack(pair), modality), partner_rank(*pair)]
        for title, pair in latents.items()
    },
    index=["modality told", "partner rank"],
)
cross.round(3)

# %% [markdown]
# ## Three modalities
#
# The first data set has RNA and protein, the second protein and ATAC, and only the first is labelled. Do
# labels reach cells that are read through ATAC? No cell here has both RNA and ATAC.

# %%
lab = atac[second].obs["cell_type"].to_numpy()
bare = {"protein": protein[second].copy(), "atac": atac[second].copy()}
for adata in bare.values():
    del adata.obs["cell_type"]
donor = {"rna": rna[first], "protein": protein[first]}
three = inclust.three_modalities(donor, bare, label_key="cell_type")

# %%
joined = InClust(**epochs).fit(three, verbose=0)
transfer = {
    b: float((joined.predict_labels(three, b)["label"].to_numpy() == lab).mean())
    for b in ("second: protein->protein", "second: atac->atac")
}
transfer

# %% [markdown] claims=["labels_to_third_modality"]
# They do: 99 % of the labels are right.

# %% [markdown]
# ## Generating a modality
#
# The reference has RNA and protein, the query RNA alone. For each protein: the correlation of what is generated with
# its noise-free truth, beside ridge regression trained on the same reference.

# %%
rows_g = inclust.generation(donor, {"rna": rna[second]}, label_key="cell_type")
generator = InClust(**epochs | {"epochs": 40 if fast else 60}, reconstruction_weight=20.0)
generator.fit(rows_g, verbose=0)
made = generator.generate(rows_g, "query: rna->rna", "protein", as_covariate="reference")
by_ridge = ridge_prediction(rna[first].X, protein[first].X, rna[second].X)
truth = protein[second].layers["truth"]
made_r, ridge_r = (np.median(feature_correlations(truth, p)) for p in (made, by_ridge))
labels = generator.predict_labels(rows_g, "query: rna->rna")["label"].to_numpy()
moved = float((labels == lab).mean())
print(f"median correlation: generated {made_r:.3f}, ridge {ridge_r:.3f}; labels right {moved:.3f}")

# %% [markdown] claims=["generated_over_ridge"]
# Generated protein is as good as ridge regression here, not better: its median correlation is 1.00 times that of
# ridge.

# %% [markdown]
# ## Real data: hidden genes of Drop-seq cells
#
# From here on the data are real. Without network and cache the notebook stops here, with the reason.
#
# `sc_mixology` (notebook 07): a third of the genes are hidden in the Drop-seq cells and imputed from
# CEL-seq2, another technology. The hidden values were measured, so the truth is known. The cell lines of the
# Drop-seq cells are hidden too.

# %%
try:
    raw, scrna, surface = datasets.sc_mixology(), datasets.merfish_scrna(), datasets.surface_protein()
except ConnectionError as error:
    raise SkipNotebook(str(error)) from None

# %%
mixology = handover.prepared(handover.Settings("sc_mixology", seed, None, output_dir, fast))
rng = np.random.default_rng(seed)
is_query = (mixology.obs["batch"] == "dropseq").to_numpy()
variable = np.asarray(mixology.X[is_query].mean(axis=0)).ravel().argsort()[::-1][:450]
mixology = mixology[:, np.sort(variable)].copy()
hidden = list(mixology.var_names[rng.permutation(450)[:150]])
query, reference = mixology[is_query].copy(), mixology[~is_query].copy()
lines = query.obs["cell_type"].astype(str).to_numpy()
query.obs = query.obs[["batch"]]


# %%
def scores(imputed, reference, query_known, query_types, hidden):
    """Median correlation over the hidden genes: inClust+, ridge regression, mean of the cell type."""
    shared = [name for name in reference.var_names if name not in set(hidden)]
    known, wanted = dense(reference[:, shared]), dense(reference[:, hidden])
    others = {
        "ridge": ridge_prediction(known, wanted, dense(query_known[:, shared])),
        "type mean": type_mean_prediction(wanted, reference.obs["cell_type"].astype(str), query_types),
    }
    predictions = {"inClust+": imputed[hidden].to_numpy(), **others}
    truth = dense(query_known[:, hidden])
    return {name: feature_correlations(truth, p) for name, p in predictions.items()}


# %%
def dense(adata):
    return adata.X.toarray() if hasattr(adata.X, "toarray") else adata.X


mix = inclust.imputation(reference, query, hidden, batch_key="batch", label_key="cell_type")
options = {"epochs": 50, "rows_per_step": 100, "seed": seed}
model = InClust(**options).fit(mix, verbose=0)
on_mix = scores(model.impute(mix), reference, query, lines, hidden)
found = float((model.predict_labels(mix, "query")["label"].to_numpy() == lines).mean())
print(
    {name: round(float(np.median(r)), 3) for name, r in on_mix.items()}, "lines right:", round(found, 3)
)

# %% [markdown]
# **Ablation: the input mask off.** The reference then reads the hidden genes themselves. In the query they are
# zeros, as before.
#
# **Predict.** Will the median correlation of the hidden genes rise or fall, in the reference and in the query?

# %%
guess = None  # ("rises" or "falls" in the reference, the same in the query)

# %%
from dataclasses import replace

unmasked = replace(mix, input_masks=np.ones_like(mix.input_masks))
copier = InClust(**options).fit(unmasked, verbose=0)
ablation = {}
for title, (network, r) in {"masked": (model, mix), "mask off": (copier, unmasked)}.items():
    own = network.generate(r, "reference", "genes")[hidden]
    found_r = {"reference": feature_correlations(dense(reference[:, hidden]), own)}
    found_r["query"] = feature_correlations(dense(query[:, hidden]), network.impute(r)[hidden])
    ablation[title] = {name: np.median(values) for name, values in found_r.items()}

# %%
ablation = pd.DataFrame(ablation).T
ways = np.where(ablation.loc["mask off"] > ablation.loc["masked"], "rises", "falls")
print(f"your guess: {guess}; it is: {tuple(ways.tolist())}")
ablation.round(3)

# %% [markdown] claims=["mask_off_gain_in_reference", "mask_off_gain_in_query", "mask_off_flatters_by"]
# With the mask off the reference rebuilds its genes better: the median correlation grows by 0.012. In the query
# these genes are zeros, and its correlation falls by 0.015. So the distance between the two grows by 0.03. With
# the mask on, the reference says more honestly how well the query is imputed.

# %% [markdown]
# ## Real data: 31 genes that a MERFISH panel lacks
#
# The authors' scRNA set has values from 0 to 1, and most are 0. Half of the cells play the query: each gene gets
# another platform's efficiency, and the 31 genes are hidden. Zeros and noise set a low ceiling for every method, so
# compare methods, not data sets. The output is a sigmoid, and the squared error weighs more: its weight is one
# over the variance of the noise, and values from 0 to 1 have little.

# %%
n_cells = 2000 if fast else 4000
some = scrna[rng.permutation(scrna.n_obs)[:n_cells]].copy()
some.X = some.X.toarray()
panel = some[n_cells // 2 :].copy()
panel_truth, panel_types = panel.copy(), panel.obs["cell_type"].astype(str).to_numpy()
panel.X = np.clip(panel.X * rng.lognormal(0, 0.3, panel.n_vars).astype("float32"), 0, 1)
panel.obs = panel.obs[[]]
genes = list(some.var_names[some.var["to_impute"]])
whole = some[: n_cells // 2].copy()
merfish = inclust.imputation(whole, panel, genes, label_key="cell_type")

# %%
options = {"epochs": 25 if fast else 30, "rows_per_step": 100, "seed": seed}
model = InClust(output="sigmoid", reconstruction_weight=200.0, **options).fit(merfish, verbose=0)
imputed = model.impute(merfish, as_covariate="reference")
panel_truth.X[:, ~some.var["to_impute"].to_numpy()] = panel.X[:, ~some.var["to_impute"].to_numpy()]
on_merfish = scores(imputed, whole, panel_truth, panel_types, genes)
print({name: round(float(np.median(r)), 3) for name, r in on_merfish.items()})

# %% [markdown] claims=["dropseq_share_above_type_mean", "merfish_share_above_type_mean", "dropseq_share_above_ridge", "merfish_share_above_ridge"]
# **What to see:** each point is a hidden gene.
# - The type mean knows the type and nothing else. inClust+ is above it for 83 % of the genes in Drop-seq and
#   for 74 % in scRNA.
# - Ridge regression is nearer: 65 % and 55 % of the genes lie above the diagonal.

# %%
figure, axes = plt.subplots(1, 4, figsize=(12, 3.2), layout="constrained")
panels = [
    (d, r, o) for d, r in (("Drop-seq", on_mix), ("scRNA", on_merfish)) for o in ("type mean", "ridge")
]
for axis, (title, r, other) in zip(axes, panels):
    axis.scatter(r[other], r["inClust+"], s=10, color=plots.COLORS[0])
    axis.axline((0, 0), slope=1, color="0.5", lw=1)
    axis.set(title=title, xlabel=f"correlation, {other}", ylabel="correlation, inClust+")
plt.close(figure)

# %%
alt = (
    "Four scatter plots of the correlation with the truth, gene by gene: inClust+ against the mean of "
    "the type and against ridge regression, for Drop-seq and for scRNA."
)
settings.save_figure(figure, "11_imputation", alt)

# %% [markdown]
# ## Real data: two protein batches, paired modalities
#
# Half of 216 surface proteins play one modality, half the other. The two batches are real. Every second cell
# is labelled. Without yh the latent should not show the batch, and should still show the types.

# %%
n_cells = 1000 if fast else 2000
surface = surface[rng.permutation(surface.n_obs)[:n_cells]].copy()
surface.var["modality"] = rng.permutation(np.repeat(["one", "two"], 108))
types = surface.obs["cell_type"].astype(str).to_numpy()
surface.obs["some_types"] = np.where(np.arange(n_cells) % 2, types, None)
pairs = inclust.paired_batches(surface, "batch", "some_types")
options = {"epochs": 15 if fast else 20, "rows_per_step": 100, "seed": seed}
model = InClust(output="sigmoid", reconstruction_weight=50.0, **options).fit(pairs, verbose=0)

# %%
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score

# %%
batch, line, table = surface.obs["batch"].to_numpy(), LogisticRegression(max_iter=500), {}
z_mean = model.latent(pairs, "one->one", with_covariate=True)
for name, z in {"z_mean": z_mean, "z": model.latent(pairs, "one->one")}.items():
    by_line = cross_val_score(line, z / z_mean.std(), batch, scoring="balanced_accuracy")
    table[name] = {
        "batch, neighbours": predictability(z, batch),
        "batch, line": by_line.mean(),
        "type": predictability(z, types),
    }
table = pd.DataFrame(table).T
table.round(3)

# %% [markdown] claims=["batch_told_in_z_mean", "batch_told_in_z", "batch_told_by_a_line", "type_told_in_z_mean", "type_told_in_z"]
# **What to see:**
#
# - From its neighbours a cell's batch is predicted with a balanced accuracy of 73 % in z_mean and 69 % in z; chance is
#   half. So the batches mix better in z, but not fully.
# - A straight line (logistic regression) still finds the batch in z in 60 %. yh is one shift for all cells of a
#   batch, and a batch effect is more than that.
# - The type is predicted as well as before, 91 % and 91 %.

# %%
joint = AnnData(obs=pd.concat([surface.obs[:400]] * 2).reset_index(drop=True))
joint.obs["modality"] = np.repeat(["one", "two"], 400)
joint.obsm["z"] = np.vstack([model.latent(pairs, b)[:400] for b in ("one->one", "two->two")])
figure = plots.before_after(joint, {"z": "z"}, ("batch", "modality", "cell_type"), seed, project)
settings.save_figure(figure, "11_protein")

# %% [markdown]
# ## Exercises
#
# Write between the marks; the cell after it says what it thinks, in green or in red.
#
# **1. Predict.** `x` is `[1, NaN, 3]` and its mask `m` is `[1, 0, 1]`. What is the sum of `x * m`, and what is
# the sum of `masked(x, m)`? NaN is written `float("nan")`.

# %% tags=["exercise"] exercise="nb11_nan" level="a" points=1 minutes=3
sums, reason = None, ""  # two numbers
### BEGIN SOLUTION
sums = (float("nan"), 4.0)
reason = "0 times NaN is NaN, and where chooses without computing."
### END SOLUTION

# %% tags=["check"]
check("nb11_nan", sums, reason)

# %% [markdown]
# **2. Write.** Write `judged_error(x, output, mask)`: half the squared error of each row, over the features
# where `mask` is 1. Where it is 0, `x` is NaN. The error must be right **and so must its gradient** with
# respect to `output`, for training sees nothing else. All three are tensors, rows x features.


# %% tags=["exercise"] exercise="nb11_mask" level="b" points=2 minutes=15
def judged_error(x, output, mask):
    ### BEGIN SOLUTION
    x = tf.where(mask == 1, x, 0.0)
    output = tf.where(mask == 1, output, 0.0)
    return 0.5 * tf.reduce_sum((x - output) ** 2, axis=1)
    ### END SOLUTION


# %% tags=["check"]
check("nb11_mask", judged_error)

# %% [markdown]
# **3. Discuss.** A slice of tissue with 200 genes measured in place, dissociated cells with all genes, and a
# third set with all genes and proteins. You want the proteins in the slice. Which blocks do you make, with
# which input and output masks? How do you find out whether what is generated is right?

# %% [markdown] tags=["rubric"] exercise="nb11_task" level="c" points=4 minutes=15
# - 1 point for a block of each set; the slice reads its 200 genes and is judged by them alone.
# - 1 point for the third set in a block that reads the 200 genes alone and is judged by the proteins.
# - 1 point for the technology as covariate, and the one as which the slice is decoded.
# - 1 point for a test: proteins of cells of the third set that were held out, read through the 200 genes,
#   beside a simple rival such as ridge regression.

# %%
check.table()

# %% [markdown]
# ## What was learnt
#
# One network serves five tasks, because a task is nothing but rows and masks. The input mask keeps the
# network from reading what it must impute. Cross blocks bring modalities to one place. yh takes the batch out
# of the latent as far as the batch is a shift.

# %% tags=["plumbing"]
imputed_rows, generated_rows = tasks["imputation"], tasks["generation"]
is_hidden = np.isin(imputed_rows.features, list(rna.var_names[::4]))
reads = imputed_rows.input_masks[:, is_hidden]
of_query = imputed_rows.output_masks[imputed_rows.number_of("query"), is_hidden]
is_protein = np.array(generated_rows.modalities) == "protein"
of_protein = generated_rows.output_masks[generated_rows.number_of("query: rna->rna"), is_protein]
results.add("hidden_genes_read", reads.sum(), "== 0")
results.add("query_judged_by_hidden_genes", of_query.sum(), "== 0")
results.add("query_judged_by_protein", of_protein.sum(), "== 0")

# %% tags=["plumbing"]
with_cross, without = cross["cross blocks"], cross["without"]
median = {name: float(np.median(r)) for name, r in on_mix.items()}
low = {name: float(np.median(r)) for name, r in on_merfish.items()}
results.add("outputs_changed_by_masked_inputs", changed, "== 0")
results.add("gradient_through_masked_outputs", gradient[~judged].max(), "== 0")
results.add("modality_told_with_cross_blocks", with_cross["modality told"], "<= 0.8")
results.add("modality_told_without", without["modality told"], ">= 0.9")
results.add("partner_rank_with_cross_blocks", with_cross["partner rank"], "<= 0.12")
results.add("partner_rank_without", without["partner rank"], ">= 0.2")
results.add("labels_to_third_modality", transfer["second: atac->atac"], ">= 0.85")
results.add("generated_over_ridge", made_r / ridge_r, ">= 0.9")
results.add("label_transfer", moved, ">= 0.85")

# %% tags=["plumbing"]
for name, r in {"dropseq": on_mix, "merfish": on_merfish}.items():
    for other, least in {"type mean": ">= 0.6", "ridge": ">= 0.4"}.items():
        share = float(np.mean(r["inClust+"] > r[other]))
        results.add(f"{name}_share_above_{other.replace(' ', '_')}", share, least)
gain = ablation.loc["mask off"] - ablation.loc["masked"]
results.add("mask_off_gain_in_reference", gain["reference"], "> 0")
results.add("mask_off_gain_in_query", gain["query"], "<= 0.01")
results.add("mask_off_flatters_by", gain["reference"] - gain["query"], ">= 0.02")

# %% tags=["plumbing"]
results.add("dropseq_over_ridge", median["inClust+"] / median["ridge"], ">= 0.9")
results.add("dropseq_above_type_mean", median["inClust+"] - median["type mean"], "> 0")
results.add("dropseq_lines_right", found, ">= 0.85")
results.add("merfish_over_ridge", low["inClust+"] / low["ridge"], ">= 0.9")
results.add("merfish_above_type_mean", low["inClust+"] - low["type mean"], "> 0")

# %% tags=["plumbing"]
drop = table.loc["z_mean"] - table.loc["z"]
results.add("batch_told_less_by_neighbours", drop["batch, neighbours"], ">= 0.01")
results.add("type_accuracy_change", -drop["type"], ">= -0.03")
results.add("batch_told_in_z_mean", table.loc["z_mean", "batch, neighbours"], ">= 0.6")
results.add("batch_told_in_z", table.loc["z", "batch, neighbours"], "<= 0.8")
results.add("batch_told_by_a_line", table.loc["z", "batch, line"], ">= 0.5")
results.add("type_told_in_z_mean", table.loc["z_mean", "type"], ">= 0.8")
results.add("type_told_in_z", table.loc["z", "type"], ">= 0.8")
results.save()

# %% tags=["plumbing"]
versions_table()
