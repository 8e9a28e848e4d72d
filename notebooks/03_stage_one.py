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
# # 03 · Stage I: a content code without batch
#
# **You will learn** how to wire iMAP's first stage as a functional model with two named outputs, what
# its two losses ask for, and how to check that the code lost the batch and kept the cell.
# **Time** on two cores: about 1 minute.
#
# $$L = \lambda_c \lVert E(\mathrm{Dec}(E(x), b_{rand})) - E(x)\rVert^2 + \lambda_r \lVert \mathrm{Dec}(E(x), b) - x\rVert^2$$
#
# with $\mathrm{Dec}(c, b) = \mathrm{ReLU}(G_1(b) + G_2(c, b))$, $\lambda_c = 3$, $\lambda_r = 1$ (Wang et
# al. 2021, Methods). The second term rebuilds the cell from its content and its batch. The first is the
# idea: decode the content into a *random* batch, encode it again, and ask for the same content. A code
# that carries the batch fails that test. (Both norms are means of squares.)

# %% tags=["parameters"]
dataset = "demo"
batch_key = "batch"
label_key = "cell_type"
seed = 0
epochs = None
fast = False
output_dir = "../build/course"

# %%
import keras
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import tensorflow as tf

from imap_keras import plots
from imap_keras.course import Results, check, handover, versions_table
from imap_keras.imap.row_layers import AddPicked, AllBatches, PutRows, RowsThatMove, TakeRows
from imap_keras.imap.stage1 import DECODED_MOMENTUM, REAL_MOMENTUM
from imap_keras.nn.blocks import Initializers, apply, dense_stack
from imap_keras.nn.fitting import run

# %%
settings = handover.Settings(dataset, seed, epochs, output_dir, fast, batch_key, label_key)
results = Results("03_stage_one", output_dir, settings.as_dict())

# %% [markdown]
# ## The encoder E
#
# genes -> 1024 -> 512 -> 256. `dense_stack` makes the layers of notebook 02, Dense, BatchNorm and Mish;
# the last layer is linear: a code may be negative.


# %% tags=["lesson"]
def build_encoder(n_genes, latent_dim=256, hidden=(1024, 512), init=None):
    widths = (*hidden, latent_dim)
    inner = [True] * len(hidden) + [False]
    stack = dense_stack(n_genes, widths, init or Initializers(), inner, inner, "encoder")
    cells = keras.Input((n_genes,), name="cells")
    return keras.Model(cells, apply(stack, cells), name="encoder")


# %% [markdown]
# ## The decoders G1 and G2
#
# Mirrored, without BatchNorm. G1 reads the batch alone and learns what every cell of the batch shares;
# G2 reads content and batch and adds what is the cell's own.


# %% tags=["lesson"]
def build_decoder(n_inputs, n_genes, hidden=(512, 1024), init=None, name="decoder"):
    widths = (*hidden, n_genes)
    inner = [True] * len(hidden) + [False]
    stack = dense_stack(n_inputs, widths, init or Initializers(), [False] * len(widths), inner, name)
    inputs = keras.Input((n_inputs,), name=f"{name}_inputs")
    return keras.Model(inputs, apply(stack, inputs), name=name)


# %% [markdown]
# ## The whole model
#
# Three savings of arithmetic, with the same result as the published code: E(x) is computed once though both
# losses need it; G1 sees only as many different inputs as there are batches, so it decodes those
# few rows (`AllBatches`) and every cell has its own added (`AddPicked`); and a row whose random batch happens
# to be its own is not decoded a second time.


# %% tags=["lesson"]
def decode(content, batch, profiles, content_decoder, name):
    code = keras.layers.Concatenate(name=f"{name}_code")([content, batch])
    total = AddPicked(name=f"{name}_sum")(content_decoder(code), batch, profiles)
    return keras.layers.ReLU(name=name)(total)


# %% [markdown]
# The third saving. `RowsThatMove` finds the rows that go to another batch, `TakeRows` takes them,
# `PutRows` puts what was decoded back in place. All others keep their reconstruction: with two batches
# that is every second row.


# %% tags=["lesson"]
def decode_moving(content, rebuilt, inputs, profiles, content_decoder):
    rows = RowsThatMove(name="moving_rows")(inputs["batch"], inputs["random_batch"])
    code = TakeRows(name="moving_content")(content, rows)
    batch = TakeRows(name="moving_batch")(inputs["random_batch"], rows)
    moved = decode(code, batch, profiles, content_decoder, "moved")
    return PutRows(name="decoded")(rebuilt, rows, moved)


# %% tags=["lesson"]
def build_autoencoder(encoder, content_decoder, batch_decoder):
    n_genes, n_batches = encoder.input_shape[-1], batch_decoder.input_shape[-1]
    widths = {"cells": n_genes, "batch": n_batches, "random_batch": n_batches}
    inputs = {name: keras.Input((width,), name=name) for name, width in widths.items()}
    profiles = batch_decoder(AllBatches(name="all_batches")(inputs["batch"]))
    content = apply(encoder.layers[1:], inputs["cells"], momentum=REAL_MOMENTUM)
    rebuilt = decode(content, inputs["batch"], profiles, content_decoder, "reconstruction")
    decoded = decode_moving(content, rebuilt, inputs, profiles, content_decoder)
    content_again = apply(encoder.layers[1:], decoded, momentum=DECODED_MOMENTUM)
    change = keras.layers.Subtract(name="content")([content_again, content])
    return keras.Model(inputs, {"reconstruction": rebuilt, "content": change}, name="stage1")


# %% [markdown]
# Build it on small numbers and look: two named outputs, one for each loss. The output `content` is the
# *change* of the content, so its target is zero.

# %%
toy = dict(hidden=(8, 8))
model = build_autoencoder(
    build_encoder(20, 4, **toy),
    build_decoder(4 + 3, 20, name="content_decoder", **toy),
    build_decoder(3, 20, name="batch_decoder", **toy),
)
one_batch = np.eye(3, dtype="float32")[[0, 0]]
outputs = model({"cells": np.ones((2, 20)), "batch": one_batch, "random_batch": one_batch})
pd.Series({name: str(value.shape) for name, value in outputs.items()}, name="shape").to_frame()

# %% [markdown]
# The code above *is* the library's (a test compares the two); from here on we import it.
#
# ## Training rows: mixtures of two cells
#
# Each training row is `a*x1 + (1-a)*x2`, two random cells of one batch, `a` between 0 and 1. All indices
# are drawn as tensors, all rows gathered from one table; no Python loop sees a cell.


# %% tags=["lesson"]
def draw_mixtures(table, members, sizes, rows_per_batch, seeds):
    drawn = tf.reshape(draw_from_groups(members, sizes, (rows_per_batch, 2), seeds[0]), (-1, 2))
    x1, x2 = (tf.gather(table, drawn[:, i]) for i in (0, 1))
    a = tf.random.stateless_uniform((len(x1), 1), seeds[1])
    return a * x1 + (1 - a) * x2


# %% [markdown]
# A toy shows it: three cells of batch 0 on the left, three of batch 1 on the right.
#
# **What to see:** mixtures lie between cells of their own batch, never across.

# %%
from imap_keras.nn.rows import draw_from_groups

corners = np.array([[0, 0], [1, 0], [0, 1], [4, 0], [5, 0], [4, 1]], "float32")
seeds = [tf.constant([seed, i], tf.int64) for i in range(2)]
mixed = draw_mixtures(corners, np.arange(6), np.array([3, 3]), 100, seeds).numpy()
figure, axis = plt.subplots(figsize=(6, 2.4), layout="constrained")
axis.scatter(*mixed.T, s=8, c=np.repeat(plots.COLORS[:2], 100), alpha=0.5)
axis.scatter(*corners.T, s=60, c=np.repeat(plots.COLORS[:2], 3), edgecolors="black")
axis.set(title="cells (circled) and mixtures")
plt.close(figure)
settings.save_figure(figure, "03_mixtures")

# %% [markdown]
# ## Train
#
# `train_stage1` does what this notebook wrote out: build, compile with two mean squared errors weighted 3
# and 1, and `fit` on mixtures.

# %%
from imap_keras.imap.training import train_stage1

adata = handover.prepared(settings)
cells, batch, _ = handover.arrays(settings)
_, codes = np.unique(batch, return_inverse=True)
models, history = train_stage1(cells, codes, settings.hyperparameters())
handover.save_encoder(settings, models["encoder"])
history.iloc[[0, -1]].round(4)

# %% [markdown]
# **What to see:** the reconstruction goes on improving to the end. The content loss falls fast, rises again
# around epoch 20, when the reconstruction improves faster, and then stays below a thousandth.

# %%
names = ["reconstruction_loss", "content_loss"]
settings.save_figure(plots.loss_curves(history, names, "Stage I", log=True), "03_losses")

# %% [markdown]
# ## Did the code lose the batch and keep the cell?
#
# The honest question is what a linear classifier can still read from it: the batch (should fall towards
# chance) and the cell type (should stay). Thirty principal components of the content are compared with
# thirty of the expression.

# %%
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score

# %%
content = run(models["encoder"], cells)
adata.obsm["content"] = PCA(30, random_state=seed).fit_transform(content)


def readable(space, labels):
    """Cross-validated balanced accuracy of a linear classifier."""
    classifier = LogisticRegression(max_iter=300)
    scaled = space / space.std()
    return cross_val_score(classifier, scaled, labels, cv=4, scoring="balanced_accuracy").mean()


# %%
table = pd.DataFrame(
    {
        key: {space: readable(adata.obsm[space], adata.obs[key]) for space in ("X_pca", "content")}
        for key in settings.keys
    }
)
table.loc["chance"] = [1 / adata.obs[key].nunique() for key in table]
table.round(3)

# %% [markdown]
# **What to see:** in the content code the batches overlap much more; the types are still apart.

# %%
figure = plots.before_after(
    adata, {"PCA": "X_pca", "content of stage I": "content"}, settings.keys, seed
)
settings.save_figure(figure, "03_content")

# %% [markdown]
# A linear classifier is a stern judge: with 30 numbers a cell it can still find traces of the platform
# that no nearest neighbour would notice. Stage II does not need a perfect code, only one in which the
# nearest cell of another batch is a cell of the same kind. Notebook 04 measures exactly that.
#
# ## Exercise
#
# What would the content loss be if the encoder gave the same code to every cell? (And what does that say
# about training with this loss alone?)

# %%
answer = None  # a number

# %% jupyter={"source_hidden": true} tags=["solution"]
solution = 0.0  # the code cannot change: this is why the reconstruction loss is needed beside it

# %%
check(answer, solution)

# %% [markdown]
# ## What was learnt
#
# Two losses pull against each other: content asks the code to forget, reconstruction to remember. What
# both can agree on is what the batches share. A functional model with named outputs lets `compile` and
# `fit` do the rest.

# %%
first, last = history.iloc[0], history.iloc[-1]
batch_drop = table.loc["X_pca", batch_key] - table.loc["content", batch_key]
type_over_chance = table.loc["content", label_key] - table.loc["chance", label_key]
fall = last["reconstruction_loss"] / first["reconstruction_loss"]
results.add("reconstruction_falls", fall, "<= 0.8")
results.add("content_loss_last", last["content_loss"], "<= 0.1")
results.add("batch_less_readable", batch_drop, ">= 0.1")
results.add("type_still_readable", type_over_chance, ">= 0.45")
results.save()

# %%
versions_table()
