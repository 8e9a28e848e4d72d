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
# autoencoder on cells that do not share all their features: an input mask says what is read, an output mask
# what the result is judged by. Five tasks follow from five ways to mask: imputing genes, pairing modalities,
# with and without batches, joining three modalities, generating one that was never measured.
# **Time** on two cores: about 2 minutes; the first time it fetches 15 MB.

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
from imap_keras.course import Results, SkipNotebook, check, handover, versions_table

# %%
from imap_keras.inclust import InClust
from imap_keras.inclust.evaluation import feature_correlations, ridge_prediction, type_mean_prediction
from imap_keras.inclust.network import Expected, Mask, NegativeEntropy, Sample, safe_log
from imap_keras.inclust.plots import draw_masks
from imap_keras.metrics import partner_rank, predictability

# %%
settings = handover.Settings("simulated", seed, None, output_dir, fast)
results = Results("11_inclust_masks", output_dir, settings.as_dict())
project = plots.pca_of if fast else plots.umap_of  # what a figure shows of a latent space

# %% [markdown]
# ## Three modalities of the same cells
#
# Simulated, so the truth is known: each cell has a type and four continuous states, and RNA, protein and chromatin
# (ATAC) each show a part of them, with noise.

# %%
cells = datasets.simulate_modalities(600 if fast else 900, n_batches=2, seed=seed)
rna, protein, atac = (cells[name] for name in ("rna", "protein", "atac"))
names = rna.obs_names
first, second = names[: len(names) // 2], names[len(names) // 2 :]
{name: adata.shape for name, adata in cells.items()}

# %% [markdown]
# ## A task is a choice of rows and masks
#
# A **block** is a set of cells with one input mask and one output mask. The same cell can stand in several blocks.
#
# **What to see:** in imputation nobody *reads* the hidden genes (grey at the right end of "what is read"), and
# only the reference is *judged* by them. Paired: each modality is read to rebuild itself and to rebuild the other.
# Three modalities: data sets that share only the protein are tied together through it. Generation: the query
# is never judged by protein, because it has none.

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
# Not a product: 0 times NaN is NaN, and a cell that was not measured may well carry NaN. `where` chooses.


# %% tags=["lesson"]
def masked(values, mask):
    return tf.where(tf.not_equal(mask, 0), values, tf.zeros_like(values))


# %% [markdown]
# ## The network
#
# The encoder reads the masked cell. `yh` is the embedding of the covariate, the batch for instance; taken out
# of the latent it leaves `z`, which the classifier and the clusters read: **z is what you want to look at**.
# Put back, with noise, it is what the decoder reads. The noise is an input, so the network itself has nothing
# random.


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
# Every cluster c is a Gaussian around $\mu_c + y_h$. A cell pays for its distance from the clusters the
# classifier puts it in, and for being vague or too sure about where it is.


# %% tags=["lesson"]
def cluster_divergence(z, log_var, means):
    spread = tf.reduce_sum(tf.exp(log_var) - log_var - 1, axis=-1, keepdims=True)
    away = tf.reduce_sum((z[:, None, :] - means[None]) ** 2, axis=-1)
    return 0.5 * (spread + away)


# %% [markdown]
# Both sides of the squared error come masked. Labels may be missing: an unlabelled row has an all-zero target and costs
# nothing. With labels for all rows the training is supervised, for some semi-supervised, for none unsupervised.


# %% tags=["lesson"]
def half_squared_error(target, output):
    return 0.5 * tf.reduce_sum((target - output) ** 2, axis=-1)


# %% tags=["lesson"]
def labelled_cross_entropy(target, output):
    return -tf.reduce_sum(target * safe_log(output), axis=-1)


# %% [markdown]
# ## Two things a mask must do
#
# What is masked at the input cannot change a single bit of any output; what is masked at the output sends back a
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
# RNA and protein of the same cells, two batches. Without labels (`n_clusters=4` says only how many), so that
# nothing but the masks can bring the modalities together. The ablation trains on `rna->rna` and
# `protein->protein` alone.

# %%
unlabelled = inclust.paired_batches({"rna": rna, "protein": protein}, "batch")
alone = ["rna->rna", "protein->protein"]
latents = {}
for title, r in {"cross blocks": unlabelled, "without": unlabelled.keep(alone)}.items():
    model = InClust(n_clusters=4, **epochs).fit(r, verbose=0)
    latents[title] = [model.latent(r, b) for b in alone]

# %% [markdown]
# **What to see:** with cross blocks a cell lies at the same place whether it is read through its RNA or its protein, so
# the two colours mix (left); without them each modality has its own islands, and types of one lie beside other
# types of the other (right).

# %%
n_drawn = 250
joint = AnnData(obs=pd.concat([rna.obs[:n_drawn]] * 2).reset_index(drop=True))
joint.obs["modality"] = np.repeat(["RNA", "protein"], n_drawn)
for title, (of_rna, of_protein) in latents.items():
    joint.obsm[title] = np.vstack([of_rna[:n_drawn], of_protein[:n_drawn]])
spaces = {title: title for title in latents}
figure = plots.before_after(joint, spaces, ("modality", "cell_type"), seed, project)
settings.save_figure(figure, "11_cross_blocks")

# %% [markdown]
# Two numbers: how well 15 neighbours tell which modality a cell was read through (0.5 is chance), and the share of
# cells that lie nearer to a cell than its own other half does (0 is best, 0.5 is chance).

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
# labels get from RNA to cells read through ATAC? No cell here has both.

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

# %% [markdown]
# ## Generating a modality
#
# The reference has RNA and protein, the query RNA alone. Each protein's correlation with its noise-free truth, beside
# ridge regression trained on the same reference.

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

# %% [markdown]
# ## Real data: hidden genes of Drop-seq cells
#
# From here on real data. Without network and cache the notebook stops here, with the reason.
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
# **Ablation: the input mask off.** The reference then reads the hidden genes themselves and rebuilds them
# better than it could from the others; in the query, where they are zeros, this helps nobody. The mask does
# not buy much correlation here; it buys that the reference says honestly how well the query will be imputed.

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
ablation = pd.DataFrame(ablation).T
ablation.round(3)

# %% [markdown]
# ## Real data: 31 genes that a MERFISH panel lacks
#
# The authors' scRNA set, values in [0, 1] and 88 % zeros. Half of the cells play the query: each gene gets an
# efficiency of another platform, and the 31 genes are hidden. Zeros and noise set a low ceiling for
# everybody, so what counts is the comparison. The output is a sigmoid, and the squared error weighs more: the
# weight is one over the variance of the noise, and values in [0, 1] have little.

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

# %% [markdown]
# **What to see:** each point is a hidden gene. On both data sets most lie above the diagonal against the type
# mean, which knows the type and nothing else, and near it against ridge regression.

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
settings.save_figure(figure, "11_imputation")

# %% [markdown]
# ## Real data: two protein batches, paired modalities
#
# Half of 216 surface proteins play one modality, half the other; the two batches are real. Every second cell
# is labelled. Taking yh out must take the batch out of the latent, and leave the types.

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

# %% [markdown]
# **What to see:** a cell's neighbours tell its batch less well in z than in z_mean, and its type as well as before. A
# straight line (logistic regression) may still find the batch: yh is one shift for all cells of a batch and both
# modalities, and a batch effect is more than that. In the picture both modalities give the same islands,
# and batches mix in most types, not in all: in `type_3` they lie side by side.

# %%
joint = AnnData(obs=pd.concat([surface.obs[:400]] * 2).reset_index(drop=True))
joint.obs["modality"] = np.repeat(["one", "two"], 400)
joint.obsm["z"] = np.vstack([model.latent(pairs, b)[:400] for b in ("one->one", "two->two")])
figure = plots.before_after(joint, {"z": "z"}, ("batch", "modality", "cell_type"), seed, project)
settings.save_figure(figure, "11_protein")

# %% [markdown]
# ## Exercise
#
# Protein `two` of each cell can be generated from `one` (block `one->one`). What is the median correlation
# with what was measured? (`model.generate`, `feature_correlations`)

# %%
answer = None  # a number

# %% jupyter={"source_hidden": true} tags=["solution"]
measured = surface[:, surface.var["modality"] == "two"]
solution = np.median(feature_correlations(measured.X, model.generate(pairs, "one->one", "two")))

# %%
check(answer, solution)

# %% [markdown]
# ## What was learnt
#
# One network serves five tasks, because a task is nothing but rows and masks. The input mask keeps the
# network from reading what it must impute; cross blocks bring modalities to one place; yh takes the batch out
# of the latent as far as the batch is a shift.

# %%
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

# %%
results.add("dropseq_over_ridge", median["inClust+"] / median["ridge"], ">= 0.9")
results.add("dropseq_above_type_mean", median["inClust+"] - median["type mean"], "> 0")
flattered = ablation["reference"] - ablation["query"]
results.add("mask_off_flatters_by", flattered["mask off"] - flattered["masked"], ">= 0.02")
results.add("dropseq_lines_right", found, ">= 0.85")
results.add("merfish_over_ridge", low["inClust+"] / low["ridge"], ">= 0.9")
results.add("merfish_above_type_mean", low["inClust+"] - low["type mean"], "> 0")
drop = table.loc["z_mean"] - table.loc["z"]
results.add("batch_told_less_by_neighbours", drop["batch, neighbours"], ">= 0.04")
results.add("type_accuracy_change", -drop["type"], ">= -0.03")
results.save()

# %%
versions_table()
