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
# # 02 · Building blocks: Mish, BatchNorm, an autoencoder
#
# **You will learn** the three bricks of iMAP's networks, and how a Keras *functional* model is wired.
# **Time** on two cores: about 1 minute.
#
# [01 · data and batch effects](01_data_and_batch_effects.ipynb) ← → [03 · stage I](03_stage_one.ipynb) ·
# [glossary](glossary.md) · [notation](notation.md)

# %% tags=["parameters"]
dataset = "demo"
batch_key = "batch"
label_key = "cell_type"
seed = 0
epochs = 20
fast = False
output_dir = "../build/course"

# %%
import keras
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import tensorflow as tf
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

from imap_keras import plots
from imap_keras.course import Check, Results, handover, versions_table
from imap_keras.nn.blocks import BatchNorm, Initializers, Mish

# %% tags=["plumbing"]
# What the text was written for (notebook 00):
told = (dataset, seed, epochs, fast) == ("demo", 0, 20, False)
settings = handover.Settings(dataset, seed, None, output_dir, fast, batch_key, label_key)
results = Results("02_building_blocks", output_dir, {**settings.as_dict(), "epochs": epochs})
check = Check("02_building_blocks", output_dir)

# %% [markdown]
# ## Mish
#
# Between two linear layers there must be something that bends, an *activation*, or both collapse into one. With
# $x$ the output of a layer, iMAP bends by
#
# $$\mathrm{Mish}(x) = x \tanh(\mathrm{softplus}(x)), \qquad \mathrm{softplus}(x) = \log(1 + e^x).$$
#
# | formula | code |
# |---|---|
# | $\log(1 + e^x)$ | `np.log1p(np.exp(x))` |
# | $\tanh$ | `np.tanh` |


# %%
def mish_by_hand(x):
    return x * np.tanh(np.log1p(np.exp(x)))


x = np.linspace(-5, 3, 161).astype("float32")
variable = tf.Variable(x)
with tf.GradientTape() as tape:
    y = Mish()(variable)
slope = tape.gradient(y, variable).numpy()
print(f"largest difference from the library: {np.abs(y - mish_by_hand(x)).max():.1e}")

# %% [markdown] claims=["mish_lowest", "mish_slope_at_minus_one"]
# **What to see:** ReLU is flat left of zero. A unit that lies there for every cell gets no gradient, and cannot come
# back by itself. Mish dips to −0.31 and keeps a slope: at $x = -1$ it is 0.06.

# %%
figure, axes = plt.subplots(1, 2, figsize=(8, 2.8), layout="constrained")
axes[0].plot(x, y, label="Mish", color=plots.COLORS[0])
axes[0].plot(x, np.maximum(x, 0), "--", label="ReLU", color=plots.COLORS[1])
axes[1].plot(x, slope, color=plots.COLORS[0])
axes[1].plot(x, (x > 0).astype(float), "--", color=plots.COLORS[1])
axes[0].set(title="value", xlabel="x")
axes[1].set(title="slope", xlabel="x")
axes[0].legend(frameon=False)
plt.close(figure)

# %%
alt = (
    "Left the value, right the slope of Mish and ReLU against x: below zero ReLU is flat, Mish dips "
    "and comes back."
)
settings.save_figure(figure, "02_mish", alt)

# %% [markdown]
# ## BatchNorm
#
# With $x$ the values of one unit over the rows of a step, $\bar x$ their mean, $v$ their variance, $\epsilon$ a
# small number, and $\gamma$, $\beta$ two learnt numbers:
#
# $$\mathrm{BN}(x) = \gamma \, \frac{x - \bar x}{\sqrt{v + \epsilon}} + \beta$$
#
# | formula | code |
# |---|---|
# | $\bar x$, $v$ | `rows.mean(axis=0)`, `rows.var(axis=0)` |
# | $\epsilon$ | `1e-5` |
# | $\gamma$, $\beta$ | 1 and 0 before training |
#
# So in training every unit has mean 0 and variance 1, and then what $\gamma$ and $\beta$ have learnt to make of it.
# Outside training, running averages of mean and variance take the place of the step's own: each step keeps
# `momentum` of the old average and adds the rest of its own. By hand, with $\gamma$ and $\beta$ as they begin:

# %%
rows = np.random.default_rng(seed).normal(3, 2, size=(64, 4)).astype("float32")
by_hand = (rows - rows.mean(axis=0)) / np.sqrt(rows.var(axis=0) + 1e-5)
layer = BatchNorm(momentum=0.9, epsilon=1e-5)
normalised = layer(rows, training=True)
running_mean = layer.get_weights()[2]
print(f"largest difference: {np.abs(normalised - by_hand).max():.1e}")
print("running mean after one step:", running_mean.round(3), "= 0.9 * 0 + 0.1 * mean")

# %% [markdown]
# A consequence: a constant added in front of a BatchNorm changes nothing. So a bias there has gradient zero.

# %%
shifted = BatchNorm(momentum=0.9, epsilon=1e-5)(rows + 7.0, training=True)
print(f"shifted by 7, the output differs by {np.abs(shifted - normalised).max():.1e}")

# %% [markdown]
# ## An autoencoder in the functional API
#
# A functional model is drawn from `Input` to output: each line takes a tensor and returns one; `Model`
# then remembers the path. This one squeezes a cell into `n_code` numbers and rebuilds it.

# %%
adata = handover.prepared(settings)
cells, _, _ = handover.arrays(settings)
n_genes, n_code, width = adata.n_vars, 8, 64 if fast else 256

# %%
keras.utils.set_random_seed(seed)  # before the layers draw their weights
cell = keras.Input((n_genes,), name="cell")
h = Mish()(BatchNorm()(keras.layers.Dense(width, name="down")(cell)))
code = keras.layers.Dense(n_code, name="code")(h)
h = Mish()(keras.layers.Dense(width, name="up")(code))
rebuilt = keras.layers.Dense(n_genes, name="rebuilt")(h)
autoencoder = keras.Model(cell, rebuilt, name="autoencoder")
print(f"{autoencoder.count_params():,} parameters")

# %% [markdown]
# Two models can share layers: the encoder is the first half of the same graph, trained with it.

# %%
encoder = keras.Model(cell, code, name="encoder")
autoencoder.compile(optimizer=keras.optimizers.Adam(1e-3), loss="mse")
fitted = autoencoder.fit(cells, cells, batch_size=64, epochs=epochs, verbose=0)
history = pd.DataFrame(fitted.history).assign(epoch=np.arange(1, epochs + 1))
settings.save_figure(plots.loss_curves(history, ["loss"], "Autoencoder"), "02_autoencoder")

# %% [markdown] claims=["loss_falls", "early_fall"]
# **What to see:** the error falls to 0.43 of its start. 89 % of the fall is done in the first quarter of the epochs.
#
# Is that any good? PCA with as many numbers is the rival to beat: it is the best *linear* autoencoder, found
# without any training steps.

# %%
pca = PCA(n_code, random_state=seed).fit(cells)
errors = {
    "mean of all cells": float(((cells - cells.mean(axis=0)) ** 2).mean()),
    f"PCA, {n_code} numbers": float(
        ((pca.inverse_transform(pca.transform(cells)) - cells) ** 2).mean()
    ),
    f"autoencoder, {n_code} numbers": float(
        ((autoencoder.predict(cells, verbose=0) - cells) ** 2).mean()
    ),
}
pd.Series(errors, name="mean squared error").round(4).to_frame()

# %% [markdown] claims=["pca_error_against_mean", "error_against_mean", "pca_ahead"]
# PCA leaves 78 % of the variance, the autoencoder 85 %. Both errors are of the very cells that were fitted, so too few
# cells are not why PCA is ahead: few cells learnt by heart would give a small error here. Is the training too short?

# %%
longer = keras.models.clone_model(autoencoder)  # the same layers, weights of its own
longer.compile(optimizer=keras.optimizers.Adam(1e-3), loss="mse")
longer.fit(cells, cells, batch_size=64, epochs=5 * epochs, verbose=0)
error_of_longer = float(((longer.predict(cells, verbose=0) - cells) ** 2).mean())
print(f"{5 * epochs} epochs leave {error_of_longer / errors['mean of all cells']:.0%} of the variance")

# %% [markdown] claims=["longer_error_against_mean"]
# It is: five times as many epochs leave 67 %, less than PCA. What holds for new cells is another question: the first
# half of [notebook 13](13_autoencoder_or_pca.ipynb) asks it, and can be read now. And an autoencoder can have a loss
# that PCA cannot have, as in the next notebook.

# %% [markdown]
# ## The code knows the batch
#
# Nothing told this autoencoder to forget the batch, and it must rebuild batch differences too.

# %% [markdown] claims=["code_own_batch", "code_own_type"]
# **What to see:** the code separates the batches and the types. Of a cell's 15 nearest neighbours 93 % are of its
# batch, 84 % of its type. Stage I (notebook 03) changes the loss so that the first costs something.

# %%
adata.obsm["code"] = encoder.predict(cells, verbose=0)
figure = plots.before_after(adata, {"plain autoencoder": "code"}, settings.keys, seed)
settings.save_figure(figure, "02_code")

# %% [markdown] claims=["dead_genes_reference_start", "dead_genes_zero_bias"]
# ## Where weights start
#
# The published code starts every bias at random. Before an output ReLU, that switches many genes off for every cell.
# A gene that is 0 for every cell gets no gradient: a *dead gene*. The kit's default starts biases at zero. Here is an
# untrained decoder with either start:

# %%
from imap_keras.imap.stage1 import build_decoder

codes = np.random.default_rng(seed).normal(size=(200, 16)).astype("float32")
dead = {}
for start in ("reference", "zero_bias"):
    decoder = build_decoder(16, 1000, init=Initializers(start, seed), name=f"decoder_{start}")
    output = np.maximum(decoder(codes), 0)
    dead[start] = float((output == 0).all(axis=0).mean())
pd.Series(dead, name="genes at zero for every cell").map("{:.0%}".format).to_frame()

# %% [markdown]
# ## Exercises
#
# Write between the marks; the cell after it says what it thinks, in green or in red.
#
# **1. Read.** How many parameters does a dense layer from 764 genes to 256 units have, its biases included? In
# the reason say where they come from.

# %% tags=["exercise"] exercise="nb02_parameters" level="a" points=2 minutes=3
n_parameters, reason = None, ""
### BEGIN SOLUTION
n_parameters = 764 * 256 + 256
reason = "Each of 256 units has a weight for each of 764 genes, and one bias."
### END SOLUTION

# %% tags=["check"]
check("nb02_parameters", n_parameters, reason)

# %% [markdown]
# **2. Write.** The slope of Mish, by the product rule and the chain rule. The slope of softplus is
# $1 / (1 + e^{-x})$, that of tanh is $1 - \tanh^2$. Take numpy; `x` is an array.


# %% tags=["exercise"] exercise="nb02_mish_slope" level="b" points=2 minutes=10
def mish_slope(x):
    ### BEGIN SOLUTION
    softplus, sigmoid = np.log1p(np.exp(x)), 1 / (1 + np.exp(-x))
    bent = np.tanh(softplus)
    return bent + x * (1 - bent**2) * sigmoid
    ### END SOLUTION


# %% tags=["check"]
check("nb02_mish_slope", mish_slope)

# %% [markdown]
# **3. Discuss.** PCA was ahead of the autoencoder here, and with more epochs it is not. Name two reasons why a short
# training leaves it behind, or why it may fall back on new cells, and say for each what you would change in this
# notebook to test it.

# %% [markdown] tags=["rubric"] exercise="nb02_pca_ahead" level="c" points=3 minutes=10
# - 1 point for each of two reasons: so few cells make few steps in an epoch; the code is not asked to be linear or
#   ordered, so nothing helps where the data are close to a plane; Adam's steps end near, not at, the best; on new cells,
#   not on these: few cells for so many weights, learnt by heart.
# - 1 point for tests that change one thing: `epochs` at the top, fewer units, another seed to see the spread, and
#   an error on cells held out instead of those trained on.
# - No point for "autoencoders are worse than PCA": one data set and one size do not show it.

# %%
check.table()

# %% [markdown]
# ## What was learnt
#
# Mish keeps a gradient where ReLU has none; BatchNorm makes a layer blind to shifts and has two faces,
# training and inference; a functional model is a graph, and models can share parts of it; an
# autoencoder rebuilds everything, batch included.

# %% tags=["plumbing"]
mean_error, pca_error, own_error = errors.values()
loss = history["loss"].to_numpy()
near = NearestNeighbors(n_neighbors=15).fit(adata.obsm["code"]).kneighbors(return_distance=False)
own = {}
for key in settings.keys:
    of_key = adata.obs[key].to_numpy(str)
    own[key] = np.mean(of_key[near] == of_key[:, None])

# %% tags=["plumbing"]
results.add("mish_as_by_hand", np.abs(y - mish_by_hand(x)).max(), "<= 1e-5")
results.add("mish_slope_at_minus_one", slope[np.argmin(abs(x + 1))], ">= 0.05")
results.add("mish_lowest", np.min(y), "<= -0.3")
results.add("batch_norm_as_by_hand", np.abs(normalised - by_hand).max(), "<= 1e-4")
results.add("error_against_mean", own_error / mean_error, "<= 0.95")
results.add("pca_error_against_mean", pca_error / mean_error, "<= 0.9")
results.add("loss_falls", loss[-1] / loss[0], "<= 0.6")
results.add("dead_genes_reference_start", dead["reference"], ">= 0.1")
results.add("dead_genes_zero_bias", dead["zero_bias"], "<= 0.01")

# %% tags=["plumbing"]
if told:
    results.add("early_fall", (loss[0] - loss[4]) / (loss[0] - loss[-1]), ">= 0.6")
    results.add("pca_ahead", own_error / pca_error, ">= 1.02")
    results.add("longer_error_against_mean", error_of_longer / mean_error, "<= 0.74")
    results.add("longer_ahead", error_of_longer / pca_error, "<= 0.96")
    results.add("code_own_batch", own[batch_key], ">= 0.6")
    results.add("code_own_type", own[label_key], ">= 0.7")
results.save()

# %% tags=["plumbing"]
versions_table()
