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
# [02 · building blocks](02_building_blocks.ipynb) ← → [04 · pairs](04_pairs.ipynb) ·
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
import keras
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import tensorflow as tf

from imap_keras import plots
from imap_keras.course import Check, Results, drawings, handover, versions_table
from imap_keras.imap.components import deviations
from imap_keras.nn.blocks import Initializers, apply, dense_stack, rescaled
from imap_keras.nn.fitting import run

# %% tags=["plumbing"]
# What the text was written for (notebook 00):
told = (dataset, seed, epochs, fast) == ("demo", 0, None, False)
settings = handover.Settings(dataset, seed, epochs, output_dir, fast, batch_key, label_key)
results = Results("03_stage_one", output_dir, settings.as_dict())
check = Check("03_stage_one", output_dir)

# %% [markdown]
# ## The idea
#
# Let $x$ be a cell of batch $b$, $E$ the encoder, $c = E(x)$ its content, $G_1$ and $G_2$ two decoders, and $b_{rand}$ a
# batch drawn at random. The decoders together rebuild a cell from a content and a batch,
#
# $$\mathrm{Dec}(c, b) = \mathrm{ReLU}(G_1(b) + G_2(c, b)),$$
#
# and stage I minimises (Wang et al. 2021, Methods; both norms are means of squares)
#
# $$L = \lambda_c \lVert E(\mathrm{Dec}(c, b_{rand})) - c\rVert^2 + \lambda_r \lVert \mathrm{Dec}(c, b) - x\rVert^2, \qquad \lambda_c = 3, \lambda_r = 1 .$$
#
# | formula | code |
# |---|---|
# | $E$, $G_1$, $G_2$ | `encoder`, `batch_decoder`, `content_decoder` |
# | $b$, $b_{rand}$ | `batch`, `random_batch`, one-hot rows |
# | $\mathrm{Dec}$ | `decoded` |
# | first norm, content loss | `content_loss` |
# | second norm, reconstruction loss | `reconstruction_loss` |
#
# The second term rebuilds the cell from its content and its batch. The first is the idea: decode the content into a
# *random* batch, encode it again, and ask for the same content. A code that carries the batch fails that test.

# %%
settings.save_figure(drawings.stage_one(), "03_drawing")

# %% [markdown]
# ## The encoder E
#
# genes -> 1024 -> 512 -> 256. `dense_stack` makes the layers of notebook 02: for each width a Dense layer, and behind it
# BatchNorm and Mish where the two lists of True and False say so. `apply` runs inputs through layers, one after the
# other. The last layer has neither: it is linear, for a code may be negative.


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
# ## The two losses, plainly
#
# Small networks on made-up cells, to see the loss as the formula has it: encode, decode into the own batch, decode into
# a random batch, encode again.

# %%
toy, rng = dict(hidden=(8, 8)), np.random.default_rng(seed)
encoder = build_encoder(20, 4, **toy)
content_decoder = build_decoder(4 + 3, 20, name="content_decoder", **toy)
batch_decoder = build_decoder(3, 20, name="batch_decoder", **toy)
x = tf.constant(rng.normal(size=(30, 20)), tf.float32)
batch, random_batch = (tf.one_hot(rng.integers(3, size=30), 3) for _ in range(2))


# %%
def decoded(content, batch):
    code = tf.concat([content, batch], axis=1)
    return tf.nn.relu(batch_decoder(batch) + content_decoder(code))


# %%
def losses(x, batch, random_batch):
    content = encoder(x, training=True)
    rebuilt = decoded(content, batch)
    content_again = encoder(decoded(content, random_batch), training=True)
    content_loss = tf.reduce_mean((content_again - content) ** 2)
    reconstruction_loss = tf.reduce_mean((rebuilt - x) ** 2)
    return content_loss, reconstruction_loss


# %%
plain = losses(x, batch, random_batch)
pd.Series([float(loss) for loss in plain], ["content", "reconstruction"], name="loss").to_frame()

# %% [markdown]
# ## The same, with less arithmetic
#
# As above, $E(x)$ is computed once, though both losses need it. The library saves twice more:
#
# 1. $G_1$ sees only as many different inputs as there are batches. `AllBatches` gives each batch once, $G_1$ decodes
#    those few rows, and `AddPicked` adds to every cell the row of its batch.
# 2. A row whose random batch happens to be its own is not decoded a second time. `RowsThatMove` finds the rows that go
#    to another batch, `TakeRows` takes them, `PutRows` puts what was decoded back in place. With two batches that
#    saves every second row.
#
# The five are layers without weights:


# %% tags=["lesson"]
class AllBatches(keras.layers.Layer):
    def call(self, batch):
        return tf.eye(batch.shape[-1])


class AddPicked(keras.layers.Layer):
    def call(self, values, one_hot, table):
        return values + tf.matmul(one_hot, table)


# %% tags=["lesson"]
class RowsThatMove(keras.layers.Layer):
    def call(self, batch, random_batch):
        return tf.where(tf.reduce_sum(batch * random_batch, axis=1) < 0.5)


# %% tags=["lesson"]
class TakeRows(keras.layers.Layer):
    def call(self, table, rows):
        return tf.gather_nd(table, rows)


class PutRows(keras.layers.Layer):
    def call(self, table, rows, values):
        return tf.tensor_scatter_nd_update(table, rows, values)


# %% [markdown]
# Now the whole model in the functional API. It has two named outputs, one for each loss. `profiles` is $G_1$ of every
# batch.


# %% tags=["lesson"]
def decode(content, batch, profiles, content_decoder, name):
    code = keras.layers.Concatenate(name=f"{name}_code")([content, batch])
    total = AddPicked(name=f"{name}_sum")(content_decoder(code), batch, profiles)
    return keras.layers.ReLU(name=name)(total)


# %% tags=["lesson"]
def decode_moving(content, rebuilt, inputs, profiles, content_decoder):
    rows = RowsThatMove(name="moving_rows")(inputs["batch"], inputs["random_batch"])
    code = TakeRows(name="moving_content")(content, rows)
    batch = TakeRows(name="moving_batch")(inputs["random_batch"], rows)
    moved = decode(code, batch, profiles, content_decoder, "moved")
    return PutRows(name="decoded")(rebuilt, rows, moved)


# %% [markdown]
# Two constants are left. The encoder reads real and decoded cells in one step, and each reading moves BatchNorm's running
# averages. The published code reads real cells three times a step and decoded ones once, between the second and the
# third, each time with momentum `0.9`. So `0.9**4` of the old average stays, `0.1 * 0.9 = 0.09` comes from decoded
# cells, the rest from real ones. Read once each, the same follows with these momenta:


# %%
REAL_MOMENTUM, DECODED_MOMENTUM = 0.9**4 / 0.91, 0.91


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
# The output `content` is the *change* of the content, so its target is zero. Are these the losses of above?

# %%
model = build_autoencoder(encoder, content_decoder, batch_decoder)
outputs = model({"cells": x, "batch": batch, "random_batch": random_batch}, training=True)
fast_form = (
    tf.reduce_mean(outputs["content"] ** 2),
    tf.reduce_mean((outputs["reconstruction"] - x) ** 2),
)
apart = max(abs(float(a) - float(b)) for a, b in zip(plain, fast_form))
assert apart <= 1e-5
two_ways = {"plain": plain, "fast": fast_form}
names = ["content", "reconstruction"]
pd.DataFrame({way: [float(loss) for loss in found] for way, found in two_ways.items()}, names)

# %% [markdown]
# The cells tagged `lesson` *are* the library's code (a test compares the two); from here on we import it.
#
# ## Training rows: mixtures of two cells
#
# Each training row is $a x_1 + (1 - a) x_2$: two random cells of one batch, $a$ between 0 and 1. All indices are drawn
# as tensors, all rows gathered from one table; no Python loop sees a cell. `draw_from_groups` draws so many members of
# each group, here of each batch. `gathered` takes rows of a tensor, or of cells that stay sparse until they are drawn.

# %%
settings.save_figure(drawings.mixtures(), "03_mixtures_drawing")


# %% tags=["lesson"]
def draw_mixtures(table, members, sizes, rows_per_batch, seeds):
    drawn = tf.reshape(draw_from_groups(members, sizes, (rows_per_batch, 2), seeds[0]), (-1, 2))
    x1, x2 = (gathered(table, drawn[:, i]) for i in (0, 1))
    a = tf.random.stateless_uniform((len(x1), 1), seeds[1])
    return a * x1 + (1 - a) * x2


# %% [markdown] claims=["mixtures_inside_their_batch"]
# **What to see:** three cells of batch 0 on the left, three of batch 1 on the right, and 100 mixtures of each. 100 % of
# them lie between cells of their own batch.

# %%
from imap_keras.nn.rows import draw_from_groups, gathered

corners = np.array([[0, 0], [1, 0], [0, 1], [4, 0], [5, 0], [4, 1]], "float32")
seeds = [tf.constant([seed, i], tf.int64) for i in range(2)]
mixed = draw_mixtures(corners, np.arange(6), np.array([3, 3]), 100, seeds).numpy()
figure, axis = plt.subplots(figsize=(6, 2.4), layout="constrained")
axis.scatter(*mixed.T, s=8, c=np.repeat(plots.COLORS[:2], 100), alpha=0.5)
axis.scatter(*corners.T, s=60, c=np.repeat(plots.COLORS[:2], 3), edgecolors="black")
axis.set(title="cells (circled) and mixtures", xlabel="gene 1", ylabel="gene 2")
plt.close(figure)
settings.save_figure(figure, "03_mixtures")

# %% [markdown]
# ## One scale
#
# Learning rates and the weights of losses suit cells of a certain size. So all cells are multiplied by one number before
# training, such that the genes' standard deviations (`deviations`, summed in float64) are `spread` on average:


# %% tags=["lesson"]
def scale_factor(cells, hp):
    if hp.spread is None:
        return 1.0
    mean_deviation = float(deviations(cells).mean())
    return hp.spread / mean_deviation if mean_deviation > 0 else 1.0


# %%
adata, hp = handover.prepared(settings), settings.hyperparameters()
cells, batch, _ = handover.arrays(settings)
scale = scale_factor(cells, hp)
print(f"mean standard deviation {cells.std(axis=0).mean():.3f}, so all cells times {scale:.3f}")

# %% [markdown]
# ## Train
#
# `train_stage1` does what this notebook wrote out: build, compile with two mean squared errors weighted 3 and 1, and
# `fit` on mixtures. At the end it re-estimates BatchNorm's averages on real cells (notebook 05 shows how). `rescaled` puts
# the scale into the network, so that it reads cells as they are.

# %%
from imap_keras.imap.training import train_stage1

_, codes = np.unique(batch, return_inverse=True)
models, history = train_stage1(cells * scale, codes, hp)
encoder = rescaled(models["encoder"], before=scale)
handover.save_encoder(settings, encoder)
history.iloc[[0, -1]].round(4)

# %% [markdown]
# A small content loss alone says little: a code that shrinks has a small one too. So it is shown beside the variance of
# the code.

# %%
content = run(encoder, cells)
variance = float(content.var(axis=0).mean())
last = history.iloc[-1]
pd.Series({"content loss": last["content_loss"], "variance of the code": variance}).round(4).to_frame(
    ""
)

# %% [markdown] claims=["reconstruction_falls", "still_falling", "content_loss_last", "content_loss_of_variance"]
# **What to see:**
#
# - The reconstruction loss falls to 0.36 of its start, and goes on falling to the end.
# - The content loss ends at 0.0002. That is 0.3 % of the variance of the code.

# %%
names = ["reconstruction_loss", "content_loss"]
settings.save_figure(plots.loss_curves(history, names, "Stage I", log=True), "03_losses")

# %% [markdown]
# ## Did the code lose the batch and keep the cell?
#
# What can a linear classifier still read from it? The batch should fall towards chance, the cell type should stay. Thirty
# principal components of the content are compared with thirty of the expression.

# %%
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score

# %%
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

# %% [markdown] claims=["batch_readable_pca", "batch_readable_content", "type_readable_pca", "type_readable_content"]
# **What to see:** from the components the batch is read with a balanced accuracy of 1.00, from the content of 0.42
# (each batch counts alike; chance is one in three). The type is read with 0.90 and 0.79: some of it is lost.

# %%
figure = plots.before_after(
    adata, {"PCA": "X_pca", "content of stage I": "content"}, settings.keys, seed
)
settings.save_figure(figure, "03_content")

# %% [markdown]
# Much less of the platform is left for a line to find. That is not all there is: neighbours can still notice it (notebook 06 counts
# them), and a line cannot see a bent difference. Stage II does not need a perfect code, only one in which the nearest cell of another
# batch is a cell of the same kind. Notebook 04 measures that.

# %% [markdown]
# ## Exercises
#
# **1. Predict.** Suppose the encoder gave the same code to every cell. What would the content loss be? In the reason say
# what that means for a training with this loss alone.

# %% tags=["exercise"] exercise="nb03_constant_code" level="a" points=1 minutes=5
guess, reason = None, ""
### BEGIN SOLUTION
guess = 0.0
reason = "The code cannot change, so this loss alone is content with a code that holds nothing."
### END SOLUTION

# %% [markdown]
# Now it runs: a network whose weights are all zero, on 30 cells and on 30 others, as if these were decoded from them.

# %% tags=["check"]
constant = keras.Sequential(
    [keras.Input((cells.shape[1],)), keras.layers.Dense(4, kernel_initializer="zeros")]
)
code, code_again = constant(cells[:30]), constant(cells[30:60])
of_constant = float(tf.reduce_mean((code_again - code) ** 2))
check("nb03_constant_code", guess, reason, happened=of_constant)

# %% [markdown]
# **2. Write.** The content loss with one number for each cell, to see whose content survives. `encode(x)` gives
# codes, `decode(content, batch)` gives cells; the mean of squares is over the numbers of the code.


# %% tags=["exercise"] exercise="nb03_content_loss" level="b" points=2 minutes=12
def content_loss(encode, decode, x, batch, random_batch):
    ### BEGIN SOLUTION
    first = encode(x)
    elsewhere = decode(first, random_batch)
    second = encode(elsewhere)
    return tf.reduce_mean((second - first) ** 2, axis=1)
    ### END SOLUTION


# %% tags=["check"]
check("nb03_content_loss", content_loss)

# %% [markdown]
# **3. Discuss.** What would you expect of the two curves and of the two classifiers above with $\lambda_c = 0$, and with
# $\lambda_c = 1000$? Where would you set it, and by which number?

# %% [markdown] tags=["rubric"] exercise="nb03_weight_of_content" level="c" points=3 minutes=12
# - 1 point, zero: the reconstruction falls as far or further; the batch stays readable from the code, for nothing asks it to go.
# - 1 point, a thousand: the content loss is tiny, at the price of the reconstruction; in the end the code holds little, and the type
#   is read worse.
# - 1 point: by two numbers at once, batch readable (low) and type readable (high), or purity of the pairs of notebook 04;
#   not by either loss alone.

# %%
check.table()

# %% [markdown]
# ## What was learnt
#
# Two losses pull against each other: content asks the code to forget, reconstruction to remember. What
# both can agree on is what the batches share. A functional model with named outputs lets `compile` and
# `fit` do the rest.

# %% tags=["plumbing"]
loss, ends = history["reconstruction_loss"], history["content_loss"].iloc[-1]
read = table.drop(index="chance")
inside = (mixed[:100, 0] <= 1) & (mixed[:100].sum(axis=1) <= 1.001), mixed[100:, 0] >= 4
results.add("as_the_plain_losses", apart, "<= 1e-5")
results.add("mixtures_inside_their_batch", np.concatenate(inside).mean(), ">= 1")
results.add("reconstruction_falls", loss.iloc[-1] / loss.iloc[0], "<= 0.8")
results.add("content_loss_last", ends, "<= 0.1")
results.add("content_loss_of_variance", ends / variance, "<= 0.2")
results.add("batch_less_readable", read[batch_key].iloc[0] - read[batch_key].iloc[1], ">= 0.1")
still = table[label_key].iloc[1] - table[label_key].iloc[2]
results.add("type_still_readable", still, ">= 0.35" if fast else ">= 0.45")

# %% tags=["plumbing"]
if told:
    results.add("batch_readable_pca", read[batch_key].iloc[0], ">= 0.9")
    results.add("batch_readable_content", read[batch_key].iloc[1], "<= 0.5")
    results.add("type_readable_pca", read[label_key].iloc[0], ">= 0.8")
    results.add("type_readable_content", read[label_key].iloc[1], ">= 0.6")
    results.add("still_falling", loss.iloc[-1] / loss.iloc[-10], "< 1")
results.save()

# %% tags=["plumbing"]
versions_table()
