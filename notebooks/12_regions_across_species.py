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
# # 12 · Which mouse region is which human region?
#
# **You will learn** how a classifier that only learns to *name* human brain regions gives an embedding in
# which mouse regions find their human homologues (TransBrain, [Nature Methods
# 2025](https://doi.org/10.1038/s41592-025-02961-3)); how to split cells by donor; how to score a map by ranks
# against chance, raw expression and shuffled labels; and whether cortex and subcortex want a network each.
# **Time** on two cores: about 2 minutes.

# %% tags=["parameters"]
seed = 0
fast = False
repeats = None
output_dir = "../build/course"

# %%
from itertools import product

import keras
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy.stats import rankdata

# %%
from imap_keras import plots, regions
from imap_keras.course import Results, Settings, check, versions_table
from imap_keras.nn.blocks import LayerSeeds
from imap_keras.regions import check_features, check_pairs, donors_to_hold

# %%
parameters = {"seed": seed, "fast": fast, "repeats": repeats, "output_dir": output_dir}
settings = Settings("simulated", seed, None, output_dir, fast)
results = Results("12_regions_across_species", output_dir, parameters)
repeats = repeats or (3 if fast else 10)
few = min(repeats, 5)  # of the shared network and of the shuffled labels
n_cells, n_genes = 2600, 400
# The paper: three times 500 units, learning rate 6e-5, 50 epochs of many more steps. A few thousand cells
# need a smaller network and larger steps.
training = {"hidden": (250, 250, 250), "learning_rate": 1e-3, "epochs": 20}

# %% [markdown]
# ## The data
#
# No mouse matrix is small enough to ship, so the two species are simulated, with the real names: 105
# cortical and 22 subcortical human regions, 39 and 29 mouse regions, and the paper's 41 + 9 pairs of regions
# known to be homologous.

# %%
pairs = {part: regions.homologous_pairs(part) for part in ("cortex", "subcortex")}
pairs["cortex"].groupby("mouse_region", sort=False)["human_region"].agg(", ".join).to_frame().head(8)

# %% [markdown]
# A mouse region may have several human homologues: the human cortex is divided further. Homologues share
# a hidden state; but a gene reads it with a weight of its own in each species (correlation 0.5 between the
# species). On top come what is not region: the composition and quality of each piece of tissue and each
# cell, ten donors, three mice, noise.

# %%
human, mouse = regions.simulate_species("brain", n_cells, n_genes, n_mouse_cells=1400, seed=seed)
of_part = {part: (human.obs["part"] == part, mouse.obs["part"] == part) for part in pairs}
print(human.shape, mouse.shape, "human and mouse cells x genes")
human.obs.groupby("part")[["region", "donor"]].nunique()

# %% [markdown]
# **What to see:** the first two principal components of the cortical cells do not know the lobes. Most
# variation is between the pieces of tissue and the cells of one region.

# %%
from sklearn.decomposition import PCA

cortex = human[of_part["cortex"][0]]
lobe = cortex.obs["region"].map(regions.region_table("cortex", "human").set_index("region")["lobe"])
position = PCA(2, random_state=seed).fit_transform(regions.standardize(cortex.X))
figure, axis = plt.subplots(figsize=(5, 3.4), layout="constrained")
for name, color in zip(lobe.unique(), plots.COLORS):
    axis.scatter(*position[lobe == name].T, s=5, color=color, label=name)
axis.set(xlabel="component 1", ylabel="component 2", title="human cortical cells")
axis.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
plt.close(figure)
settings.save_figure(figure, "12_cells")

# %% [markdown]
# ## Split by donor
#
# Cells of one donor's region come from one piece of tissue and resemble each other for that reason too. If
# some of them train and some validate, the accuracy flatters. So, in each region, whole donors validate.


# %% tags=["lesson"]
def hold_out_donors(regions, donors, share=0.1, seed=0):
    regions, donors = np.asarray(regions), np.asarray(donors)
    rng, held_out = np.random.default_rng(seed), np.zeros(len(regions), bool)
    for region in np.unique(regions):
        own = np.unique(donors[regions == region])
        chosen = rng.choice(own, donors_to_hold(region, own, share), replace=False)
        held_out |= (regions == region) & np.isin(donors, chosen)
    return held_out


# %%
held_out = hold_out_donors(cortex.obs["region"], cortex.obs["donor"], seed=seed)
print(f"{held_out.mean():.0%} of the cortical cells validate")

# %% [markdown]
# ## The classifier
#
# Three hidden layers with ReLU and dropout, one linear score a region, cross-entropy. The layer called
# `embedding` is what we are after.


# %% tags=["lesson"]
def build_region_classifier(
    n_genes, n_regions, hidden=(500, 500, 500), dropout=0.1, seed=0, dropped="units"
):
    seeds = LayerSeeds(seed)
    inner = expression = keras.Input((n_genes,), name="expression")
    for i, units in enumerate(hidden, start=1):
        name = "embedding" if i == len(hidden) else f"hidden_{i}"
        inner = seeds.dense(units, name, "relu")(inner)
        if name == "embedding" or dropped == "units":
            mask = (None, 1) if dropped == "rows" else None  # one draw per row, or one per unit
            inner = seeds.dropout(dropout, f"dropout_{i}", mask)(inner)
    return keras.Model(expression, seeds.dense(n_regions, "scores")(inner), name="region_classifier")


# %% [markdown]
# AdamW takes the steps (its weight decay shrinks the weights directly, not through the gradient), and the
# learning rate falls in stairs. Training stops when the validation loss has not fallen for five epochs,
# and the best epoch's weights are kept. It would be wrong to choose the epoch by the ranks: they are the
# test.


# %% tags=["lesson"]
def step_schedule(epoch, learning_rate=6e-5, decay=0.8, every=20):
    return learning_rate * decay ** (epoch // every)


# %%
n_parameters = build_region_classifier(4542, 105).count_params()
print(f"the paper's cortical network: {n_parameters:,} parameters")
[f"{step_schedule(epoch):.2e}" for epoch in (0, 19, 20, 40)]

# %% [markdown]
# ## Train
#
# `RegionClassifier` puts these pieces together: split, scaler fitted on the training rows, training. Each
# part of the brain gets a network of its own; they are *detached*. A third, shared, network sees both.
# Every repeat has its own seed: other donors validate, other weights start.


# %%
def select(part):
    if part == "brain":
        return human, mouse
    return human[of_part[part][0]], mouse[of_part[part][1]]


def one_repeat(part, number, cells):
    model = regions.RegionClassifier(seed=seed + number, **training).fit(cells, verbose=0)
    sides = regions.region_averages(cells[~model.held_out]), regions.region_averages(select(part)[1])
    return model, sides, [model.embed(side) for side in sides]


# %%
fits = {("cortex", i): one_repeat("cortex", i, select("cortex")[0]) for i in range(repeats)}

# %%
fits |= {("subcortex", i): one_repeat("subcortex", i, select("subcortex")[0]) for i in range(repeats)}

# %%
fits |= {("brain", i): one_repeat("brain", i, select("brain")[0]) for i in range(few)}

# %%
model = fits["cortex", 0][0]
figure = plots.loss_curves(model.history, ["loss", "val_loss", "accuracy", "val_accuracy"])
settings.save_figure(figure, "12_training")

# %% [markdown]
# **What to see:** the cortical network, from guessing (chance is 1 in 105) to naming regions. The validation
# curves lag behind the training curves: pieces of tissue it has not seen are harder.
#
# ## From embeddings to ranks
#
# The *average* expression of each region goes through the network, dropout off; the last hidden layer is
# its embedding. Each species is standardised over its own cells first, because a gene's level differs
# between species for reasons that are not regions. Then every human region is correlated with every mouse
# region.


# %% tags=["lesson"]
def unit_rows(table):
    values = table.to_numpy("float64")
    values = values - values.mean(axis=1, keepdims=True)
    length = np.linalg.norm(values, axis=1, keepdims=True)
    return values / np.where(length > 0, length, 1)


# %% tags=["lesson"]
def correlation_map(human, mouse):
    check_features(human, mouse)
    left, right = unit_rows(human), unit_rows(mouse)
    return pd.DataFrame(left @ right.T, human.index, mouse.index)


# %% [markdown]
# For a homologous pair, sort the human regions by their correlation with the mouse region: at which rank
# stands the homologue?


# %% tags=["lesson"]
def pair_ranks(correlation, pairs):
    check_pairs(pairs, correlation.index, correlation.columns)
    values = correlation.to_numpy()
    ranks = rankdata(-values, axis=0)
    rows = correlation.index.astype(str).get_indexer(pairs["human_region"].astype(str))
    columns = correlation.columns.astype(str).get_indexer(pairs["mouse_region"].astype(str))
    table = pairs[["mouse_region", "human_region"]].reset_index(drop=True)
    return table.assign(correlation=values[rows, columns], rank=ranks[rows, columns])


# %% [markdown]
# By hand: mouse region a correlates 0.9, 0.2 and 0.5 with A, B and C. Sorted: A, C, B.

# %%
by_hand = pd.DataFrame({"a": [0.9, 0.2, 0.5]}, ["A", "B", "C"])
all_three = pd.DataFrame({"mouse_region": ["a"] * 3, "human_region": ["A", "B", "C"]})
table = pair_ranks(by_hand, all_three)
rank_error = np.abs(table["rank"] - [1, 3, 2]).max()
table

# %% [markdown]
# ## The map
#
# **What to see:** human regions from frontal (top) to occipital (bottom), mouse regions in the same order;
# circles are the homologous pairs. The map of raw expression is speckled, and many circles lie on pale or
# blue ground. In the embedding nearly all circles lie on red, and the lobes show as blocks.

# %%
of_raw, of_embedding = (
    sum(correlation_map(*fits["cortex", i][side]) for i in range(repeats)) / repeats for side in (1, 2)
)
figure, axes = plt.subplots(1, 2, figsize=(11, 9), layout="constrained")
for axis, (title, values) in zip(axes, {"raw": of_raw, "embedding": of_embedding}.items()):
    image = axis.imshow(
        values - values.to_numpy().mean(0), cmap="RdBu_r", vmin=-0.6, vmax=0.6, aspect="auto"
    )
    rows = values.index.get_indexer(pairs["cortex"]["human_region"])
    columns = values.columns.get_indexer(pairs["cortex"]["mouse_region"])
    axis.scatter(columns, rows, s=22, facecolors="none", edgecolors="black")
    axis.set_title(title)

# %%
for axis in axes:
    axis.set_xticks(range(len(of_raw.columns)), of_raw.columns, rotation=90, fontsize=6)
    axis.set_yticks(range(len(of_raw)), of_raw.index, fontsize=4.5)
figure.colorbar(image, ax=axes, shrink=0.5, label="correlation, mean of the column removed")
plt.close(figure)
settings.save_figure(figure, "12_map")

# %% [markdown]
# ## Ranks: embedding, raw expression, chance
#
# Each score is taken once a repeat: the embedding of the repeat's network; raw expression, averaged over
# the repeat's training cells; and chance, the names of the human regions drawn at random.


# %%
def scored(part, number, trained_on):
    _, raw, embedded = fits[trained_on, number]
    names = [regions.region_table(part, species)["region"] for species in ("human", "mouse")]
    score = {}
    for name, sides in (("raw expression", raw), ("embedding", embedded)):
        score[name] = regions.mean_rank(*(s.loc[n] for s, n in zip(sides, names)), pairs[part])
    human_side, mouse_side = (s.loc[n] for s, n in zip(raw, names))
    human_side.index = np.random.default_rng(seed + number).permutation(human_side.index)
    score["chance"] = regions.mean_rank(human_side, mouse_side, pairs[part])
    return score


# %%
scores = pd.DataFrame(
    {"part": part, "repeat": number, **scored(part, number, part)}
    for part, number in product(pairs, range(repeats))
)
summary = scores.drop(columns="repeat").groupby("part").agg(["mean", "std"])
summary.round(2)

# %% [markdown]
# The middle of the ranks is 53 in the cortex and 11.5 in the subcortex. The best possible mean rank is not 1
# where a mouse region has several homologues: with four, they can at best take the ranks 1 to 4.

# %%
accuracy = {part: [fits[part, i][0].validation_accuracy for i in range(repeats)] for part in pairs}
n_regions = {part: len(regions.region_table(part, "human")) for part in pairs}
times_chance = {part: np.mean(accuracy[part]) * n_regions[part] for part in pairs}
pd.DataFrame(
    {"accuracy": {p: np.mean(a) for p, a in accuracy.items()}, "times chance": times_chance}
).round(3)

# %% [markdown]
# ## The null: shuffled labels
#
# Shuffle the region labels of the cells and do everything again. Nothing is left to learn: validation loss
# and rank must be those of chance. The rank needs *averages* with shuffled labels too; we draw twenty a
# network.


# %%
def shuffle(cells, number):
    shuffled = cells.copy()
    shuffled.obs["region"] = regions.shuffled_labels(cells.obs["region"], number)
    return shuffled


def score(model, cells):
    sides = (model.embed(regions.region_averages(side)) for side in (cells, select("cortex")[1]))
    return regions.mean_rank(*sides, pairs["cortex"])


# %%
def shuffled_repeat(number, draws=20):
    cells = select("cortex")[0]
    model = one_repeat("cortex", number, shuffle(cells, seed + number))[0]
    kept = cells[~model.held_out]
    ranks = [score(model, shuffle(kept, draws * number + draw)) for draw in range(draws)]
    row = {"loss": model.validation_loss, "accuracy": model.validation_accuracy}
    return {**row, "rank": np.mean(ranks), "true averages": score(model, kept)}


# %%
null = pd.DataFrame([shuffled_repeat(number) for number in range(few)])
null.describe().loc[["mean", "std"]].round(3)

# %% [markdown]
# **What to see:** below, one point a repeat. The embedding stands lowest, raw expression between, chance and
# shuffled labels around the grey line. The last column is a warning: networks trained on shuffled labels,
# but shown the *true* averages, stand on the whole below chance. A network that learnt nothing about
# regions still passes on some of what raw expression knows. So an embedding must beat raw expression; to
# beat chance is not enough.

# %%
of_cortex = scores[scores["part"] == "cortex"]
shown = {name: of_cortex[name] for name in ("embedding", "raw expression", "chance")}
shown |= {"shuffled": null["rank"], "shuffled,\ntrue averages": null["true averages"]}
# %%
figure, axis = plt.subplots(figsize=(7, 3.4), layout="constrained")
for i, values in enumerate(shown.values()):
    place = i + np.linspace(-0.15, 0.15, len(values))
    axis.scatter(place, values, s=18, color=plots.COLORS[i])
axis.axhline(regions.chance_rank(105), color="0.6", lw=1)
axis.set_xticks(range(len(shown)), shown)
axis.set(ylabel="mean rank", title="41 cortical pairs, 105 human regions", ylim=(0, None))
plt.close(figure)
settings.save_figure(figure, "12_ranks")

# %% [markdown]
# ## One shared network, or two detached ones?
#
# The simulation holds the paper's reasons for two: a gene's weights in the cortex are not its weights in
# the subcortex, and between the two lies an offset that the species only half share. Standardised together, that
# offset fills the genes' scale. The ranks are taken within each part, as before.

# %%
together = pd.DataFrame(
    {"part": part, "repeat": number, "shared": scored(part, number, "brain")["embedding"]}
    for part, number in product(pairs, range(few))
)
both = scores.merge(together).rename(columns={"embedding": "detached"})
both.groupby("part")[["raw expression", "shared", "detached"]].agg(["mean", "std"]).round(2)

# %% [markdown]
# **What to see:** each line joins the two networks of one repeat; lower is better.

# %%
figure, axes = plt.subplots(1, 2, figsize=(6.5, 3), layout="constrained")
for axis, (part, rows) in zip(axes, both.groupby("part")):
    axis.plot(
        ["shared", "detached"], rows[["shared", "detached"]].T, color=plots.COLORS[0], marker="o", lw=1
    )
    axis.set(title=part, ylabel="mean rank", xlim=(-0.3, 1.3))
plt.close(figure)
settings.save_figure(figure, "12_detached")

# %% [markdown]
# ## Exercise
#
# What is the best mean rank any map could reach on the 41 cortical pairs?

# %%
answer = None  # a number

# %% jupyter={"source_hidden": true} tags=["solution"]
homologues = pairs["cortex"].groupby("mouse_region").size()
solution = (homologues * (homologues + 1) / 2).sum() / len(pairs["cortex"])

# %%
check(answer, solution)

# %% [markdown]
# On your own files the command line does all of this, with the names of the original: `python -m
# imap_keras.regions -n 10 -g_path genes.csv -d_path cells.h5ad -m_trans_path mouse.h5ad -h_trans_path
# human.h5ad -hm_path pairs.csv -s_path results`. Interrupted, it goes on where it stopped.
#
# ## What was learnt
#
# To name regions, a network must ignore what varies within a region; that is why its last hidden layer maps
# regions across species although it never saw a mouse. A split by donor keeps the accuracy honest, the
# validation loss chooses the epoch, and ranks are judged against raw expression, chance and shuffled labels.

# %%
results.add("hand_computed_ranks", rank_error, "<= 1e-12")
results.add("parameters_of_the_papers_network", n_parameters, "== 2825105")
apart = (both["shared"] - both["detached"]).groupby(both["part"]).mean()
for part in pairs:
    mean = summary.xs("mean", axis=1, level=1).loc[part]
    middle = regions.chance_rank(n_regions[part])
    results.add(f"{part}_accuracy_times_chance", times_chance[part], ">= 20")
    results.add(f"{part}_raw_minus_embedding", mean["raw expression"] - mean["embedding"], "> 0")
    results.add(f"{part}_chance_minus_raw", middle - mean["raw expression"], "> 0")
    results.add(f"{part}_shared_minus_detached", apart[part], ">= 0")

# %%
for part in pairs:
    middle, (raw, _) = regions.chance_rank(n_regions[part]), summary.loc[part, "raw expression"]
    highest = {"embedding": raw, "raw expression": middle, "chance": 1.5 * middle}
    for name, bound in highest.items():
        (mean, spread), label = summary.loc[part, name], f"{part}_{name.replace(' ', '_')}"
        results.add(f"{label}_rank", mean, f"< {bound:.4f}")
        results.add(f"{label}_spread", spread, f"<= {middle / 2}")

# %%
ratio = {name: null[name].mean() / expected for name, expected in (("rank", 53), ("loss", np.log(105)))}
sigma = np.sqrt(104) / 105 / np.sqrt(few * held_out.sum())
results.add("shuffled_rank_off_chance", abs(ratio["rank"] - 1), "<= 0.1")
results.add("shuffled_loss_off_chance", abs(ratio["loss"] - 1), "<= 0.1")
results.add(
    "shuffled_accuracy_sigmas_off_chance", abs(null["accuracy"].mean() - 1 / 105) / sigma, "<= 4"
)
results.save()

# %% tags=["plumbing"]
versions_table()
