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
# # 05 · Stage II: a WGAN-GP with its own `train_step`
#
# **You will learn** why the critic measures a Wasserstein distance, why it needs a gradient penalty, and how
# to write a Keras `train_step` for two networks that train in turn. At the end one batch is carried into
# the anchor. **Time** on two cores: about half a minute, one more without notebook 03.

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

from imap_keras import metrics, plots

# %%
from imap_keras.course import Results, check, handover, versions_table
from imap_keras.imap.balance import ROUNDS
from imap_keras.imap.components import merge_order
from imap_keras.imap.stage2 import TINY, WGANGP, paired_cells
from imap_keras.nn.blocks import Initializers, apply, dense_stack
from imap_keras.nn.fitting import run

# %%
settings = handover.Settings(dataset, seed, epochs, output_dir, fast, batch_key, label_key)
results = Results("05_stage_two", output_dir, settings.as_dict())

# %% [markdown]
# ## Why Wasserstein
#
# Two clouds of cells that do not overlap are equally "different" to a classifier whether they are near or
# far: it is right in both cases, and its gradient vanishes. The Wasserstein distance is how far mass must
# be moved, so it shrinks as the clouds approach and tells the generator where to go.
#
# **What to see:** the Jensen-Shannon divergence, what a classifier's loss measures, is flat once the clouds
# are apart; the Wasserstein distance keeps a slope.

# %%
from scipy.spatial.distance import jensenshannon
from scipy.stats import norm, wasserstein_distance

grid, shifts = np.linspace(-6, 14, 2001), np.linspace(0, 8, 17)
js = [jensenshannon(norm.pdf(grid), norm.pdf(grid, s)) ** 2 for s in shifts]
draws = norm.ppf(np.linspace(0.001, 0.999, 999))
w = [wasserstein_distance(draws, draws + s) for s in shifts]

# %%
figure, axes = plt.subplots(1, 2, figsize=(8, 2.6), layout="constrained")
for axis, values, title in zip(axes, (js, w), ("Jensen-Shannon", "Wasserstein")):
    axis.plot(shifts, values, color=plots.COLORS[0])
    axis.set(title=title, xlabel="distance between the clouds")
plt.close(figure)
settings.save_figure(figure, "05_wasserstein")

# %% [markdown]
# ## The generator: a shortcut plus a change
#
# $G(x) = \mathrm{ReLU}(F(x) + x)$: the cell itself plus what must change. The kit starts F at zero, so
# training begins at "leave the cell as it is" (`identity_start`). And it leaves the ReLU out
# (`relu_output=False`): where a gene lies lower in the anchor batch, a carried zero belongs below 0; cut off
# there, the mean of the carried cells stays too high.


# %% tags=["lesson"]
def build_generator(
    n_genes, latent_dim=256, hidden=(1024, 512), init=None, identity_start=False, relu_output=True
):
    widths, init = (*hidden, latent_dim, *reversed(hidden), n_genes), init or Initializers()
    norm, active = [True] * (2 * len(hidden) + 1) + [False], ([True] * len(hidden) + [False]) * 2
    stack = dense_stack(n_genes, widths, init, norm, active, "generator")
    if identity_start:
        stack[-1].kernel_initializer = stack[-1].bias_initializer = keras.initializers.Zeros()
    cells = keras.Input((n_genes,), name="query_cells")
    carried = keras.layers.Add(name="shortcut")([apply(stack, cells), cells])
    outputs = keras.layers.ReLU(name="carried")(carried) if relu_output else carried
    return keras.Model(cells, outputs, name="generator")


# %% [markdown]
# ## The critic: a score, no BatchNorm
#
# The gradient penalty is a demand on each cell by itself; BatchNorm would make a cell's score depend on
# the other rows.


# %% tags=["lesson"]
def build_critic(n_genes, hidden=(512, 512), init=None):
    inner = [True] * len(hidden) + [False]
    never = [False] * (len(hidden) + 1)
    stack = dense_stack(n_genes, (*hidden, 1), init or Initializers(), never, inner, "critic")
    cells = keras.Input((n_genes,), name="cells")
    return keras.Model(cells, apply(stack, cells), name="critic")


# %% [markdown]
# ## The penalty
#
# The largest difference of mean scores over all critics with slope at most 1 *is* the Wasserstein distance; a
# critic of any slope could claim any number. WGAN-GP asks for slope 1 on the lines between anchor cells and
# carried cells: $\lambda\,(\lVert\nabla_x D(x)\rVert - 1)^2$, $\lambda = 10$. The inner tape takes the slope
# of D with respect to its *input*; the training step then differentiates through that slope.


# %% tags=["lesson"]
def penalty(self, anchor, carried, eta):
    between = eta * anchor + (1 - eta) * carried
    with tf.GradientTape() as tape:
        tape.watch(between)
        score = self.critic(between, training=True)
    slope = tape.gradient(score, between)
    length = tf.sqrt(tf.reduce_sum(slope**2, axis=1) + TINY)
    return tf.reduce_mean((length - 1) ** 2)


# %% [markdown]
# ## One step of the critic
#
# `stop_gradient`: the generator stands still here, so no gradient is computed through it (the published
# code forgets this, and pays for it).


# %% tags=["lesson"]
def critic_step(self, query, anchor, eta):
    carried = tf.stop_gradient(self.generator(query, training=True))
    with tf.GradientTape() as tape:
        on_anchor = tf.reduce_mean(self.critic(anchor, training=True))
        on_carried = tf.reduce_mean(self.critic(carried, training=True))
        penalty = self.penalty(anchor, carried, eta)
        loss = on_carried - on_anchor + self.gradient_penalty_weight * penalty
    gradients = tape.gradient(loss, self.critic.trainable_variables)
    self.critic_optimizer.apply_gradients(zip(gradients, self.critic.trainable_variables))
    gap = on_anchor - on_carried
    return {"critic_loss": loss, "wasserstein": gap, "gradient_penalty": penalty}, gradients


# %% [markdown]
# ## One step of the generator
#
# Raise the critic's score of carried cells and, with weight `lambda_pair`, stay near a *target*. The critic
# alone knows only that the *cloud* must fit: it would be content with B cells carried onto T cells. The pairs
# say which cell belongs where.
#
# The obvious target is the anchor cell that a query cell is paired with. But then the generator learns to
# take the cell's own noise away, for no noise of one cell tells anything about its partner, and carried
# cells come out too much alike. So a cell is asked to move as *another* pair of its random walk does:
# target = cell + (anchor' - query'). A neighbour's noise cannot be guessed, only the move that the
# neighbours have in common can be learnt (`neighbor_target`).


# %% tags=["lesson"]
def generator_step(self, query, target):
    with tf.GradientTape() as tape:
        carried = self.generator(query, training=True)
        loss = -tf.reduce_mean(self.critic(carried, training=True))
        pair = tf.reduce_mean((carried - target) ** 2)
        total = loss + self.lambda_pair * pair if self.lambda_pair else loss
    gradients = tape.gradient(total, self.generator.trainable_variables)
    self.generator_optimizer.apply_gradients(zip(gradients, self.generator.trainable_variables))
    return {"generator_loss": loss, "pair_loss": pair}, gradients


# %% [markdown]
# ## `train_step`
#
# Keras calls this for every batch that `fit` draws. What it returns is the progress bar and the history.
# The critic must be good before its advice is worth anything, so it takes several steps to one of the
# generator.


# %% tags=["lesson"]
def train_step(self, data):
    query, anchor, target = data
    # 1. The critic learns to tell anchor cells from carried ones.
    step = tf.cast(self.critic_optimizer.iterations, tf.int32)
    eta = tf.random.stateless_uniform((tf.shape(query)[0], 1), tf.stack([self.seed, step]))
    self.track(self.critic_step(query, anchor, eta)[0])
    # 2. On one of critic_steps batches the generator learns to please the critic.
    turn = tf.equal(step % self.critic_steps, self.turn)
    tf.cond(turn, lambda: self.track(self.generator_step(query, target)[0]), lambda: False)
    return {name: tracker.result() for name, tracker in self.trackers.items()}


# %% [markdown]
# Put the four methods into a class. `WGANGP` of the library has the very same ones; we overwrite them here
# so that it is *this* notebook's code that trains.


# %%
class Lesson(WGANGP):
    pass


for method in (penalty, critic_step, generator_step, train_step):
    setattr(Lesson, method.__name__, method)

# %% [markdown]
# ## A penalty you can check by hand
#
# The critic $D(x) = w \cdot x$ has slope $w$ everywhere, so the penalty must be $(\lVert w\rVert - 1)^2$.

# %%
line = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, use_bias=False)])
line.layers[0].set_weights([np.array([[3.0], [4.0]], "float32")])
by_hand = Lesson(build_generator(2, hidden=(4,), latent_dim=2), line)
points = tf.random.stateless_normal((5, 2), (seed, 1))
value = float(by_hand.penalty(points, points + 1, tf.constant([[0.5]])))
print(f"penalty {value:.3f}, by hand (5 - 1)^2 = 16")

# %% [markdown]
# ## How much each pair counts
#
# Mutual neighbours are a selection: cells that happen to look like the other batch, and cells in the middle
# of their cloud, where walks lead. Their mean difference is too small, and a generator taught by it stops
# short. So each pair gets a weight such that query cells count alike, and anchor cells as nearly as their
# pairs allow: divide by what its anchor cell has in all, then by what its query cell has, and again.


# %% tags=["lesson"]
def balanced_weights(pairs):
    query, anchor = (np.unique(side, return_inverse=True)[1].ravel() for side in np.asarray(pairs).T)
    weights = np.ones(len(query))
    for _ in range(ROUNDS):
        for side in (anchor, query):
            weights /= np.bincount(side, weights)[side]
    return weights / weights.sum()


# %%
adata = handover.prepared(settings)
cells, labels, kinds = handover.arrays(settings)
pairs = handover.first_pairs(settings)
anchor_name, query_name = merge_order(cells, labels)[:2]
weights = balanced_weights(pairs)
listed = np.bincount(pairs[:, 0])[np.unique(pairs[:, 0])]
print(
    f"{len(listed)} query cells in {len(pairs)} pairs, listed {listed.min()} to {listed.max()} times each"
)

# %% [markdown]
# How far is the mean move of the pairs from the true one, the difference of the means of a cell type? Both as
# the length of a move over all genes, type by type:


# %%
def moves(kind, weight):
    """The true move of a type, and that of its pairs."""
    a, q = (cells[(labels == name) & (kinds == kind)].mean(0) for name in (anchor_name, query_name))
    same = (kinds[pairs] == kind).all(axis=1)
    share = weight[same] / weight[same].sum()
    return a - q, share @ (cells[pairs[same, 1]] - cells[pairs[same, 0]])


# %%
paired_kinds = pd.Series(kinds[pairs[:, 0]]).value_counts().index[:4]
distance = {
    title: [np.linalg.norm(np.subtract(*moves(kind, w))) for kind in paired_kinds]
    for title, w in {"all pairs alike": np.ones(len(pairs)), "balanced": weights}.items()
}
pd.DataFrame(distance, index=paired_kinds).round(2)

# %% [markdown]
# **What to see:** balanced pairs come nearer to the true move.
#
# ## Train on the first query batch

# %%
hp = settings.hyperparameters()
init = Initializers(hp.initialization, seed)
widths = adata.n_vars, hp.latent_dim, hp.hidden
generator = build_generator(*widths, init, hp.identity_start, hp.relu_output)
critic = build_critic(adata.n_vars, hp.critic_hidden, init)
gan = Lesson(generator, critic, hp.gradient_penalty, hp.critic_steps, hp.lambda_pair, seed)
gan.compile(learning_rate=hp.stage2_learning_rate)
options = hp.stage2_rows, hp.keep_pairs, seed, hp.walk_length
rows = paired_cells(cells, pairs, *options, weights)

# %%
fitted = gan.fit(
    rows, steps_per_epoch=hp.stage2_steps, epochs=hp.stage2_epochs, shuffle=False, verbose=0
)
history = pd.DataFrame(fitted.history).assign(epoch=np.arange(1, hp.stage2_epochs + 1))
history.iloc[[0, -1]].round(3)

# %% [markdown]
# **What to see:** the Wasserstein estimate climbs while the critic learns to tell the batches apart, then
# bends as the generator follows; the penalty drops from its start and stays well below it, so the slope is
# near 1; the carried cells come nearer to their targets. The estimate does not reach zero, and rises again if you train
# longer (try `epochs = 60`): with a few hundred cells the critic can learn single ones by heart. That is why
# stage II is short.

# %%
settings.save_figure(plots.critic_curves(history), "05_critic")

# %% [markdown]
# ## One batch carried over
#
# BatchNorm's running averages saw only paired cells; `recalibrate_batch_norm` re-estimates them on the
# whole query batch before inference.

# %%
from imap_keras.imap.stage1 import recalibrate_batch_norm

is_query, is_anchor = labels == query_name, labels == anchor_name
recalibrate_batch_norm(gan.generator, cells[is_query])
carried = cells.copy()
carried[is_query] = run(gan.generator, cells[is_query])
two = adata[is_query | is_anchor].copy()
two.layers["carried"] = carried[is_query | is_anchor]

# %%
import scanpy as sc

for name, values in {"before": cells[is_query | is_anchor], "carried": two.layers["carried"]}.items():
    two.obsm[name] = sc.pp.pca(values, n_comps=20, random_state=seed)
figure = plots.before_after(
    two, {"before": "before", "query carried over": "carried"}, settings.keys, seed
)
settings.save_figure(figure, "05_carried")

# %% [markdown]
# **What to see:** the query batch moved onto the anchor, type onto type.
#
# ## Gene by gene
#
# The correction is in expression space, so it can be read.
#
# **What to see:** before, the mean of each gene differs between platforms by its efficiency (points off the
# diagonal); after, the points lie along it.

# %%
means = {name: values[is_query].mean(0) for name, values in {"before": cells, "after": carried}.items()}
target = cells[is_anchor].mean(0)
figure, axes = plt.subplots(1, 2, figsize=(7, 3.3), sharey=True, layout="constrained")
for axis, (name, mean) in zip(axes, means.items()):
    axis.scatter(target, mean, s=4, color=plots.COLORS[0])
    axis.plot([0, target.max()], [0, target.max()], color="0.5", lw=1)
    axis.set(
        title=f"{name}, r = {np.corrcoef(target, mean)[0, 1]:.3f}", xlabel="anchor, mean of a gene"
    )
axes[0].set(ylabel="query, mean of a gene")
plt.close(figure)
settings.save_figure(figure, "05_genes")

# %% [markdown]
# ## Exercise
#
# A critic $D(x) = w \cdot x$ with $w = (0.6, 0.8)$: what is its gradient penalty, before the weight 10?

# %%
answer = None  # a number

# %% jupyter={"source_hidden": true} tags=["solution"]
solution = (np.hypot(0.6, 0.8) - 1) ** 2

# %%
check(np.round(answer, 6) if answer is not None else None, np.round(solution, 6))

# %% [markdown]
# ## What was learnt
#
# The Wasserstein critic gives a slope where a classifier gives none; the penalty keeps its estimate honest;
# `train_step` is plain Python with tapes; pairs tell the generator *which* cell goes where.

# %%
off = {name: np.abs(mean - target).mean() for name, mean in means.items()}
batch_two, type_two = (two.obs[key].astype(str) for key in settings.keys)
index = {
    s: metrics.imap_index(two.obsm[s], batch_two, type_two, threshold=3.0)
    for s in ("before", "carried")
}

# %%
gain = index["carried"]["true_positive"] - index["before"]["true_positive"]
results.add("penalty_by_hand", abs(value - 16), "<= 1e-3")
results.add("pair_loss_falls", history["pair_loss"].iloc[-1] / history["pair_loss"].iloc[0], "<= 0.97")
results.add("gene_means_come_nearer", off["after"] / off["before"], "<= 0.8")
results.add("true_positive_gain", gain, ">= 0.1")
results.add("types_stay", index["carried"]["positive"] - index["before"]["positive"], ">= -0.05")
results.save()

# %%
versions_table()
