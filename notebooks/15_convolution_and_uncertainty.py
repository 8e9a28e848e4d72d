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
# # 15 · Convolution, and knowing what one does not know
#
# **You will learn** how a convolutional network with dropout and max-norm reads images; how to write a dense
# layer whose weights are distributions, and train it by variational inference; and what that buys: a
# classifier that says when not to believe it, and that notices a cell type it has never seen.
# **Time** on two cores: about 2 minutes; the first time it fetches 8 MB.

# %% tags=["parameters"]
seed = 0
fast = False
output_dir = "../build/course"

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import scanpy as sc
import tensorflow as tf
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

# %%
from imap_keras import bayes, datasets, omics, plots
from imap_keras.bayes import BayesianClassifier, entropy
from imap_keras.course import Results, SkipNotebook, check, handover, versions_table

# %%
settings = handover.Settings("sc_mixology", seed, None, output_dir, fast)
results = Results("15_convolution_and_uncertainty", output_dir, settings.as_dict())

# %% [markdown]
# ## A convolutional classifier
#
# A convolution looks at 3 x 3 pixels at a time, with the same weights everywhere; pooling keeps the largest
# of 2 x 2. Dropout leaves units out at random, and max-norm keeps the weights that lead to a unit no longer
# than 3. Nearly all of the parameters are in the one dense layer behind the pooling: count them for the usual
# images of 28 x 28.

# %%
lecture = omics.build_image_classifier((28, 28, 1))
small = omics.build_image_classifier((8, 8, 1), seed=seed)
pd.DataFrame(
    {
        name: {layer.name: layer.count_params() for layer in network.layers[1:]}
        for name, network in {"28 x 28": lecture, "8 x 8": small}.items()
    }
)

# %% [markdown]
# scikit-learn brings 1,797 handwritten digits of 8 x 8 pixels: no download. The same layers, scaled to them.

# %%
pixels, digits = load_digits(return_X_y=True)
mixed = np.random.default_rng(seed).permutation(len(digits))
train, test = mixed[:1300], mixed[1300:]
images = (pixels / 16).reshape(-1, 8, 8, 1).astype("float32")
watched = (images[test], digits[test])
epochs = 6 if fast else 10
history = omics.train_image_classifier(
    small, images[train], digits[train], epochs, held_out=watched, seed=seed
)

# %%
norms = [
    np.linalg.norm(small.get_layer(name).kernel.numpy().reshape(-1, width), axis=0).max()
    for name, width in (("convolution_1", 32), ("convolution_2", 32), ("dense", 512))
]
print(
    f"accuracy on new digits {history['val_accuracy'].iloc[-1]:.3f}; longest weights {max(norms):.2f}"
)

# %% [markdown]
# **What to see:** the accuracy on new digits (orange) is above that on those trained on (blue) for most of
# the training: dropout makes the task harder while it trains, and is off when it is tested. Max-norm did
# nothing here: the longest weights stay well below 3 on images this small. It is a guard against large steps.

# %%
figure, axis = plt.subplots(figsize=(5, 3), layout="constrained")
for name, color, title in (("accuracy", 0, "trained on"), ("val_accuracy", 1, "new")):
    axis.plot(range(1, epochs + 1), history[name], color=plots.COLORS[color], label=title)
axis.set(xlabel="epoch", ylabel="accuracy", ylim=(0, 1))
axis.legend(frameon=False)
plt.close(figure)
settings.save_figure(figure, "15_convolution")

# %% [markdown]
# ## A layer that does not know its weights
#
# Instead of one number for each weight the layer learns a normal distribution,
# $w = \mu + \mathrm{softplus}(\rho)\,\varepsilon$. The noise $\varepsilon$ stands apart, so the gradient of
# the loss reaches $\mu$ and $\rho$ (reparameterisation). Each training step draws new weights.


# %% tags=["lesson"]
def sample(self):
    seeds = tf.stack([tf.constant(self.seed, tf.int64), tf.cast(self.draw, tf.int64)])
    self.draw.assign(self.draw + 1)
    noise = tf.random.stateless_normal(self.mean.shape, seeds)
    return self.mean + tf.nn.softplus(self.rho) * noise


# %% [markdown]
# Left alone, the distributions would shrink to points. What holds against it is the prior N(0, 1): the
# divergence from it is added to the loss, over the number of training rows, for the loss is a mean over rows.
# At first with a small weight that grows to 1 (annealing), or the prior wins before the data are read.


# %% tags=["lesson"]
def kl_to_prior(mean, scale, prior_scale):
    spread = (scale / prior_scale) ** 2
    return 0.5 * tf.reduce_sum(spread + (mean / prior_scale) ** 2 - 1.0 - tf.math.log(spread))


# %% tags=["lesson"]
def call(self, inputs, training=False):
    weights = self.sample() if training else self.mean
    self.add_loss(self.annealing * self.divergence() / self.n_rows)
    return self.activation(tf.matmul(inputs, weights[:-1]) + weights[-1])


# %% [markdown]
# ## Bayesian softmax regression
#
# One such layer with a softmax, on the pixels. A hundred draws from the posterior are a hundred classifiers
# that agree on what the data say, and disagree on the rest. Their mean is the prediction.

# %%
epochs = {"epochs": 60, "kl_epochs": 30} if fast else {"epochs": 100, "kl_epochs": 50}
model = BayesianClassifier(**epochs, learning_rate=0.02, seed=seed)
model.fit(pixels[train], digits[train], verbose=0)
draws = model.draws(pixels[test], 100)
truth = digits[test]
each = (draws.argmax(axis=2) == truth).mean(axis=1)
together = float((draws.mean(axis=0).argmax(axis=1) == truth).mean())
print(f"accuracy of the draws {each.min():.3f} to {each.max():.3f}, of their mean {together:.3f}")

# %% [markdown]
# **What to see:** left, the divergence from the prior. The distributions start narrow and widen, until the
# data hold against it: weights of pixels that matter stay narrow. Right, the accuracies of the 100 draws, and
# that of their mean (line), which beats nearly every one of them.

# %%
figure, axes = plt.subplots(1, 2, figsize=(9, 2.8), layout="constrained")
axes[0].plot(model.history["epoch"], model.history["divergence"], color=plots.COLORS[0])
axes[0].set(xlabel="epoch", ylabel="divergence from the prior")
axes[1].hist(each, 15, color="0.7")
axes[1].axvline(together, color=plots.COLORS[1])
axes[1].set(xlabel="accuracy on new digits", ylabel="draws")
plt.close(figure)
settings.save_figure(figure, "15_draws")

# %% [markdown]
# ## Two kinds of not knowing
#
# The **entropy** of the mean prediction is large for any reason of doubt. The **mutual information** is what
# knowing the right weights would tell: large where the draws contradict one another, small where each of them
# hesitates alike.


# %% tags=["lesson"]
def mutual_information(draws):
    draws = np.asarray(draws, float)
    return np.maximum(entropy(draws.mean(axis=0)) - entropy(draws).mean(axis=0), 0.0)


# %%
table = model.predict(pixels[test])
correct = table["label"].to_numpy() == truth.astype(str)
of_digits = {
    "accuracy": correct.mean(),
    "certain_half": bayes.accuracy_of_certain(table["entropy"], correct),
    "errors_auroc": roc_auc_score(~correct, table["entropy"]),
}
pd.Series(of_digits).round(3)

# %% [markdown]
# **What to see:** the eight digits that the classifier is least sure of. Where it is wrong, one sees why it doubted.

# %%
figure, axes = plt.subplots(1, 8, figsize=(11, 1.9), layout="constrained")
for axis, i in zip(axes, np.argsort(-table["entropy"])[:8]):
    axis.imshow(pixels[test][i].reshape(8, 8), cmap="gray_r")
    title = f"{table['label'][i]}, is {truth[i]}\n{table['probability'][i]:.2f}"
    axis.set(xticks=[], yticks=[])
    axis.set_title(title, fontsize=9)
plt.close(figure)
settings.save_figure(figure, "15_doubtful_digits")

# %% [markdown]
# ## Cell types from few counts
#
# `sc_mixology` (notebook 07): five cell lines, known from their genotype. Each cell is thinned to 300 counts,
# or the task would be too easy to be wrong at. Half of the cells train, half are new. Beside the Bayesian
# network, a plain softmax regression, hardly regularised (`C=1e4`): it may claim whatever fits the training
# cells best.
#
# Without network and cache the notebook stops here, with the reason.

# %%
try:
    adata = datasets.sc_mixology()
except ConnectionError as error:
    raise SkipNotebook(str(error)) from None
adata = adata[~adata.obs["doublet"]].copy()
lines = adata.obs["cell_type"].astype(str).to_numpy()
mixed = np.random.default_rng(seed).permutation(adata.n_obs)


# %%
def log_normalised(cells, training, n_genes=500):
    """Cells x genes that vary most in the training cells, log-normalised."""
    sc.pp.normalize_total(cells, target_sum=1e4)
    sc.pp.log1p(cells)
    reference = cells[training].copy()
    sc.pp.highly_variable_genes(reference, n_top_genes=n_genes)
    return cells[:, reference.var["highly_variable"].to_numpy()].X.toarray()


# %%
train, test = np.split(mixed, [len(mixed) // 2])
thin = sc.pp.downsample_counts(adata, counts_per_cell=300, random_state=seed, copy=True)
x = log_normalised(thin, train)
x = PCA(30, random_state=seed).fit(x[train]).transform(x)
options = {"epochs": 40, "kl_epochs": 20, "learning_rate": 0.02, "seed": seed}
network = BayesianClassifier(hidden=(32,), **options).fit(x[train], lines[train], verbose=0)
thin_table = network.predict(x[test], 100)
plain = LogisticRegression(C=1e4, max_iter=500).fit(x[train], lines[train])
thin_correct = (thin_table["label"] == lines[test]).to_numpy()
plain_table = pd.DataFrame({"label": plain.predict(x[test])})
plain_table["probability"] = plain.predict_proba(x[test]).max(axis=1)
plain_correct = (plain_table["label"] == lines[test]).to_numpy()

# %% [markdown]
# A classifier is calibrated if it is right in 70 of 100 cells that it gives 70 %. The **expected calibration
# error** is how far claim and truth are apart, on average over the cells.

# %%
claims = {
    "Bayesian": bayes.reliability(thin_table["probability"], thin_correct),
    "plain": bayes.reliability(plain_table["probability"], plain_correct),
}
calibration = {name: bayes.calibration_error(table) for name, table in claims.items()}
print("expected calibration error:", {name: round(value, 3) for name, value in calibration.items()})
print(f"accuracy: Bayesian {thin_correct.mean():.3f}, plain {plain_correct.mean():.3f}")

# %% [markdown]
# **What to see:** left, the reliability diagram. The plain classifier lies below the diagonal: it claims more
# than it keeps. The Bayesian one stays nearer to it, part of the time above: there it claims too little.
# Right, the rejection curves: the more of the uncertain cells (and digits) are left out, the more of the rest
# are right. (Bins of fewer than five cells are not drawn.)

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
for (name, claim), color in zip(claims.items(), plots.COLORS):
    claim = claim[claim["cells"] >= 5]
    left.plot(claim["claimed"], claim["true"], "o-", color=color, label=name)
left.axline((0, 0), slope=1, color="0.6", lw=1)
left.set(xlabel="probability claimed", ylabel="share that is right", xlim=(0.2, 1), ylim=(0, 1.02))
left.legend(frameon=False)
plt.close(figure)  # shown below, when the other half is drawn

# %%
sets = (("cells", thin_table, thin_correct), ("digits", table, correct))
for (title, own, hit), color in zip(sets, plots.COLORS[2:]):
    curve = bayes.rejection_curve(own["entropy"], hit).iloc[20:]
    right.plot(curve["kept"], curve["accuracy"], color=color, label=title)
right.set(xlabel="share kept, most certain first", ylabel="accuracy")
right.legend(frameon=False)
settings.save_figure(figure, "15_calibration")

# %% [markdown]
# ## A cell type never seen
#
# All counts now, and `H838` left out of the training. A softmax must give each of its cells one of the four
# other names: what happens to the uncertainty?

# %%
unseen = lines == "H838"
known = mixed[~unseen[mixed]]
train, test = np.split(known, [len(known) // 2])
x = log_normalised(adata.copy(), train)
options = {"epochs": 60 if fast else 120, "kl_epochs": 30, "learning_rate": 0.03, "seed": seed}
network = BayesianClassifier(**options).fit(x[train], lines[train], verbose=0)
new = np.concatenate([test, np.flatnonzero(unseen)])
new_table = network.predict(x[new], 100)
new_correct = (new_table["label"] == lines[new]).to_numpy()
auroc = {k: roc_auc_score(unseen[new], new_table[k]) for k in ("entropy", "mutual_information")}
new_table.groupby(unseen[new])[["probability", "entropy", "mutual_information"]].median().round(3)

# %% [markdown]
# **What to see:** for cells of the lines that it knows (blue) the draws agree. For H838 (orange) they
# contradict one another: the mutual information is high: nothing in training held the weights that read
# H838's own genes, and each draw takes them for something else. Entropy finds these cells as well; the two
# measures part on cells that are hard for another reason. Of the doubt about H838 nearly all is mutual
# information, of that about cells thinned to 300 counts about half:

# %%
figure, axes = plt.subplots(1, 2, figsize=(9, 3), layout="constrained")
for axis, measure in zip(axes, auroc):
    groups = [new_table[measure][unseen[new] == value] for value in (False, True)]
    axis.hist(groups, 25, color=plots.COLORS[:2], label=["known lines", "H838"], stacked=True)
    axis.set(xlabel=measure.replace("_", " "), title=f"AUROC {auroc[measure]:.3f}", ylabel="cells")
axes[0].legend(frameon=False)
plt.close(figure)
settings.save_figure(figure, "15_unseen_type")

# %%
doubts = {"H838, never seen": new_table[unseen[new]], "all lines, 300 counts": thin_table}
{
    name: round(float(doubt["mutual_information"].mean() / doubt["entropy"].mean()), 2)
    for name, doubt in doubts.items()
}

# %% [markdown]
# ## Exercise
#
# You may leave out cells with a mutual information above some threshold. What is the accuracy on the half of
# all new cells (H838 included) with the lowest? (`bayes.accuracy_of_certain`)

# %%
answer = None  # a number

# %% jupyter={"source_hidden": true} tags=["solution"]
solution = bayes.accuracy_of_certain(new_table["mutual_information"], new_correct, 0.5)

# %%
check(answer, solution)

# %% [markdown]
# ## What was learnt
#
# A convolution shares its weights over the image; dropout makes the large dense layer's task harder, max-norm
# bounds it. A layer with distributions for weights costs twice the parameters and one more term in the loss,
# and answers a question that a plain one cannot even be asked: how much do you not know? Believe it: leave
# the uncertain cells out, and look at them yourself.

# %%
results.add("convolutional_parameters_28_x_28", lecture.count_params(), "== 3226474")
results.add("digits_convolution_accuracy", history["val_accuracy"].iloc[-1], ">= 0.9")
results.add("longest_weights", max(norms), "<= 3.001")
results.add("digits_mean_of_draws_accuracy", together, ">= 0.88")
results.add("digits_errors_found_auroc", of_digits["errors_auroc"], ">= 0.8")
gain = of_digits["certain_half"] - of_digits["accuracy"]
results.add("digits_certain_half_above_all", gain, "> 0")

# %%
half = bayes.accuracy_of_certain(thin_table["entropy"], thin_correct)
results.add("cells_certain_half_above_all", half - thin_correct.mean(), "> 0")
results.add("cells_accuracy", thin_correct.mean(), ">= 0.75")
results.add("calibration_error_bayesian", calibration["Bayesian"], "<= 0.1")
results.add(
    "calibration_error_plain_minus_bayesian", calibration["plain"] - calibration["Bayesian"], "> 0"
)
results.add("unseen_type_auroc_mutual_information", auroc["mutual_information"], ">= 0.8")
results.add("unseen_type_auroc_entropy", auroc["entropy"], ">= 0.8")
certain = bayes.accuracy_of_certain(new_table["mutual_information"], new_correct)
results.add("unseen_certain_half_above_all", certain - new_correct.mean(), "> 0")
results.save()

# %%
versions_table()
