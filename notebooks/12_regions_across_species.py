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
# against chance, raw expression and shuffled labels; whether cortex and subcortex want a network each; and how
# a graph of both brains carries a phenotype from one species to the other. **Time** on two cores: about 3
# minutes.
#
# [11 · masks](11_inclust_masks.ipynb) ← → [13 · autoencoder or PCA](13_autoencoder_or_pca.ipynb) ·
# [glossary](glossary.md) · [notation](notation.md)

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
from imap_keras.course import Check, Results, Settings, versions_table
from imap_keras.nn.blocks import LayerSeeds
from imap_keras.regions import check_features, check_pairs, donors_to_hold

# %% tags=["plumbing"]
parameters = {"seed": seed, "fast": fast, "repeats": repeats, "output_dir": output_dir}
settings = Settings("simulated", seed, None, output_dir, fast)
results = Results("12_regions_across_species", output_dir, parameters)
check = Check("12_regions_across_species", output_dir)

# %%
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

# %% [markdown] claims=["lobe_share_of_two_components", "piece_share_of_two_components"]
# **What to see:** the lobes lie on top of each other.
#
# - 0.3 % of the variance of these two components lies between lobes.
# - 89 % lies between pieces of tissue, that is, between one donor's regions.

# %%
from sklearn.decomposition import PCA

cortex = human[of_part["cortex"][0]]
lobe = cortex.obs["region"].map(regions.region_table("cortex", "human").set_index("region")["lobe"])
position = PCA(2, random_state=seed).fit_transform(regions.standardize(cortex.X))

# %%
figure, axis = plt.subplots(figsize=(5, 3.4), layout="constrained")
for name, color in zip(lobe.unique(), plots.COLORS):
    axis.scatter(*position[lobe == name].T, s=5, color=color, label=name)
axis.set(xlabel="component 1", ylabel="component 2", title="human cortical cells")
axis.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
plt.close(figure)
alt = "Human cortical cells on two principal components; the six lobes overlap completely."
settings.save_figure(figure, "12_cells", alt)


# %%
def share_between(groups):
    """Share of the variance of the two components that lies between groups of cells."""
    means = pd.DataFrame(position).groupby(np.asarray(groups)).transform("mean")
    return float(means.var().sum() / position.var(axis=0, ddof=1).sum())


piece = cortex.obs["region"].astype(str) + cortex.obs["donor"].astype(str)
between = {"lobe": share_between(lobe), "piece": share_between(piece)}
pd.Series(between).round(3)

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
# Three hidden layers with ReLU and dropout, then one linear score per region. The layer called `embedding` is
# what we are after. With $s_{ir}$ the score of row $i$ for region $r$, $y_i$ its own region and $n$ rows in a step,
# the loss is the cross-entropy
#
# $$L = -\frac{1}{n} \sum_i \log \frac{e^{s_{i y_i}}}{\sum_r e^{s_{ir}}}.$$
#
# | formula | code |
# |---|---|
# | $s_{ir}$ | output of the layer `scores` |
# | $L$ | `SparseCategoricalCrossentropy(from_logits=True)` |
#
# The published code drops whole rows, once, after the last hidden layer: `dropped="rows"`, part of
# `RegionClassifier("reference")`.


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
# AdamW takes the steps: Adam whose weight decay shrinks the weights directly, not through the gradient. The
# learning rate falls in stairs. Training stops when the validation loss has not fallen for five epochs, and
# the weights of the best epoch are kept. It would be wrong to choose the epoch by the ranks: they are the test.


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
# `RegionClassifier` puts these pieces together: split, scaler fitted on the training rows, training. Cortex and
# subcortex get a network each; they are *detached*. A third, shared, network sees both. Every repeat has its
# own seed: other donors validate, other weights start.


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

# %% [markdown] claims=["first_cortical_training_accuracy", "first_cortical_held_out_accuracy"]
# **What to see:** one cortical network, from guessing (1 in 105) to naming regions.
#
# - Training accuracy reaches 0.96.
# - On held-out donors, dashed, it stays at 0.72: pieces of tissue that the network has not seen are harder.

# %%
model = fits["cortex", 0][0]
figure = plots.loss_curves(model.history, ["loss", "val_loss", "accuracy", "val_accuracy"])
alt = "Loss falls and accuracy rises over the epochs; on held-out donors both lag behind."
settings.save_figure(figure, "12_training", alt)

# %% [markdown]
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

# %% [markdown] claims=["circles_above_column_mean_raw", "circles_above_column_mean_embedding"]
# ## The map
#
# **What to see:** human regions from frontal (top) to occipital (bottom), mouse regions in the same order. White
# circles are the homologous pairs; red is above the mean of the column.
#
# - Raw expression: 85 % of the circles lie on red, and the map is speckled.
# - Embedding: 100 % lie on red.

# %%
of_raw, of_embedding = (
    sum(correlation_map(*fits["cortex", i][side]) for i in range(repeats)) / repeats for side in (1, 2)
)
maps = {"raw": of_raw, "embedding": of_embedding}
maps = {name: values - values.to_numpy().mean(0) for name, values in maps.items()}
rows = of_raw.index.get_indexer(pairs["cortex"]["human_region"])
columns = of_raw.columns.get_indexer(pairs["cortex"]["mouse_region"])
on_red = {name: (values.to_numpy()[rows, columns] > 0).mean() for name, values in maps.items()}
gyrus = regions.region_table("cortex", "human").set_index("region")["group"][of_raw.index]
middle = pd.Series(range(len(gyrus))).groupby(gyrus.to_numpy(), sort=False).mean()

# %%
figure, axes = plt.subplots(1, 2, figsize=(10, 7), sharey=True, layout="constrained")
for axis, (title, values) in zip(axes, maps.items()):
    image = axis.imshow(values, cmap="RdBu_r", vmin=-0.6, vmax=0.6, aspect="auto")
    for color, width in (("black", 2.4), ("white", 1.2)):
        axis.scatter(columns, rows, s=26, facecolors="none", edgecolors=color, lw=width)
    axis.set(title=title, xlabel="mouse region")
    axis.set_xticks(range(len(of_raw.columns)), of_raw.columns, rotation=90, fontsize=7)
axes[0].set_yticks(middle, middle.index, fontsize=8)
axes[0].set_ylabel("human region, by gyrus")
figure.colorbar(image, ax=axes, shrink=0.5, label="correlation, mean of the column removed")
plt.close(figure)

# %%
alt = "Two maps, human by mouse regions. White circles, the homologous pairs, lie on red in the right one."
settings.save_figure(figure, "12_map", alt)

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


# %% [markdown]
# **Predict.** Networks that learnt shuffled labels are then shown the *true* averages of the regions. Will
# their mean rank be that of chance, 53, or higher, or lower?

# %%
guess = None  # a rank

# %%
null = pd.DataFrame([shuffled_repeat(number) for number in range(few)])
print(f"your guess: {guess}; with true averages: {null['true averages'].mean():.1f}")
null.describe().loc[["mean", "std"]].round(3)

# %% [markdown] claims=["cortex_embedding_rank", "cortex_raw_expression_rank", "shuffled_rank", "true_averages_rank"]
# **What to see:** one point per repeat; lower is better, the grey line is the middle, 53.
#
# - The embedding ranks a homologue 3.7 on the mean, raw expression 26.8; shuffled labels, 53.5, are chance.
# - A warning: networks trained on shuffled labels but shown the *true* averages rank 41.1. They learnt nothing
#   about regions, and still pass on some of what raw expression knows. So an embedding must beat raw
#   expression; to beat chance is not enough.

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
alt = "Mean rank per repeat: the embedding lowest, raw expression above it, shuffled labels at chance."
settings.save_figure(figure, "12_ranks", alt)

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

# %% [markdown] claims=["cortex_shared_minus_detached", "subcortex_shared_minus_detached"]
# **What to see:** each line joins the two networks of one repeat; lower is better.
#
# - In the cortex the shared network is worse by 15.0 ranks on the mean.
# - In the subcortex it is worse by 1.6.

# %%
figure, axes = plt.subplots(1, 2, figsize=(6.5, 3), layout="constrained")
for axis, (part, rows) in zip(axes, both.groupby("part")):
    axis.plot(
        ["shared", "detached"], rows[["shared", "detached"]].T, color=plots.COLORS[0], marker="o", lw=1
    )
    axis.set(title=part, ylabel="mean rank", xlim=(-0.3, 1.3), ylim=(1, None))
plt.close(figure)
alt = "Mean rank of the shared and of the detached network, a line per repeat; detached is lower."
settings.save_figure(figure, "12_detached", alt)

# %% [markdown]
# ## Beside the published map
#
# The authors publish the mean correlations of their embeddings of the subcortex, learnt from real tissue. It
# holds nine mouse regions that have a homologue among 22 human regions, and our rank function reads it as it
# reads ours. The simulated subcortex is easier: nobody should take our rank for one on real data.

# %%
published = regions.published_map()
simulated = sum(correlation_map(*fits["subcortex", i][2]) for i in range(repeats)) / repeats
nine = pair_ranks(published, pairs["subcortex"]).rename(columns={"rank": "published rank"})
nine["simulated rank"] = pair_ranks(simulated, pairs["subcortex"])["rank"]
nine.drop(columns="correlation")

# %% [markdown] claims=["published_mean_rank", "published_chance_rank", "published_first_ranks", "simulated_mean_rank"]
# **What to see:** white circles are the nine pairs.
#
# - Published: mean rank 2.33 of 22, chance 11.5, by `pair_ranks` on the table of the authors' repository
#   (MIT licence). Three of the nine homologues are ranked first.
# - Simulated: mean rank 1.0.

# %%
figure, axes = plt.subplots(1, 2, figsize=(8.5, 4.6), sharey=True, layout="constrained")
for axis, (title, values) in zip(axes, {"published": published, "simulated": simulated}.items()):
    values = values.loc[published.index, published.columns]
    image = axis.imshow(values, cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto")
    across = values.columns.get_indexer(nine["mouse_region"])
    down = values.index.get_indexer(nine["human_region"])
    for color, width in (("black", 2.4), ("white", 1.2)):
        axis.scatter(across, down, s=40, facecolors="none", edgecolors=color, lw=width)
    axis.set_xticks(range(9), values.columns, rotation=90, fontsize=8)
    axis.set(title=title, xlabel="mouse region")
plt.close(figure)

# %%
axes[0].set_yticks(range(22), published.index, fontsize=7)
figure.colorbar(image, ax=axes, shrink=0.6, label="correlation of the embeddings")
alt = "Correlations of 22 human with nine mouse regions, published and simulated; circles lie on red."
settings.save_figure(figure, "12_published", alt)

# %% [markdown]
# ## Carrying a phenotype across
#
# What the map is for: somebody has measured a phenotype, the thickness of a layer for example, in every region
# of the mouse. What would it be in human regions? TransBrain joins both brains in one graph. Within a
# species an edge is the wiring of two regions, the connectome; across species it is the correlation of their
# embeddings, within the same lobe only, and never below 0:
#
# $$W = \begin{pmatrix} C_\text{human} & S \\ S^\top & C_\text{mouse} \end{pmatrix}.$$
#
# Random walks over $W$ go from region to region (node2vec). With $t$ the region before, $v$ the present one and
# $d(t, x)$ the number of edges from $t$ to $x$, a step to $x$ has the probability
#
# $$P(x) \propto W_{vx} \cdot \begin{cases} 1/p & d(t, x) = 0 \\ 1 & d(t, x) = 1 \\ 1/q & d(t, x) = 2. \end{cases}$$
#
# | formula | code |
# |---|---|
# | $W$ | `brain_graph(...).weights` |
# | $p$, $q$ | `return_parameter`, `inout_parameter`, here as published |

# %% [markdown]
# The walks are read as sentences by word2vec (the library gensim): regions with the same surroundings get like
# vectors. A phenotype is then regressed on the vectors of one species' regions and predicted from the vectors
# of the other's. The published analysis repeats this 500 times with 800 walks per region. Here 12 repeats with 20
# walks must do, and vectors of 20 numbers instead of 40.

# %%
walking = {"repeats": 6 if fast else 12, "per_region": 20, "dimensions": 20}
latent = regions.region_latents("brain", seed)  # the hidden states of the simulated regions
connectomes = regions.simulate_connectomes("brain", seed=seed)  # like states are wired; an assumption
embeddings = [fits[part, i][2] for part in pairs for i in range(repeats)]
graph = regions.brain_graph(embeddings, connectomes)
vectors = {"walks": regions.walk_vectors(graph, **walking)}

# %% [markdown]
# Three things to compare with. *Rows of the graph*: the same regression without a walk. *Embeddings*: regression on
# the embeddings of the detached networks, each part of the brain by itself, without graph and walk. *Random pairs*:
# walks over graphs that join each human region to the counterparts of another one.

# %%
vectors["rows of the graph"] = [graph.split(graph.weights)]
n_human, rng = len(latent["human"]), np.random.default_rng(seed)
random_pairs = []
for number in range(walking["repeats"]):
    weights = graph.weights.copy()
    weights[:n_human, n_human:] = rng.permutation(weights[:n_human, n_human:])
    weights[n_human:, :n_human] = weights[:n_human, n_human:].T
    wrong = regions.BrainGraph(graph.regions, weights)
    random_pairs += regions.walk_vectors(wrong, **{**walking, "repeats": 1, "seed": number})

# %% [markdown]
# Twenty phenotypes, each a random direction in the hidden state. Only regions with a homologue share that state
# with the other species; of the rest no more than the lobe is shared. So the correlation of what is carried
# with the truth is taken over the regions that have a homologue.

# %%
direction = np.random.default_rng(seed).normal(size=(40, 20))
truth = {species: table @ direction for species, table in latent.items()}
known = regions.homologous_pairs("brain")


def agreement(carried, target):
    rows = known[f"{target}_region"].unique()
    return carried.loc[rows].corrwith(truth[target].loc[rows]).mean()


# %%
def by_embeddings(source):
    carried = []
    for part in pairs:
        sets = [dict(zip(latent, fits[part, i][2])) for i in range(repeats)]
        values = truth[source].loc[sets[0][source].index]
        carried.append(regions.carry(values, source, sets))
    return pd.concat(carried)


# %%
def scores_of(source, target):
    carried = {kind: regions.carry(truth[source], source, sets) for kind, sets in vectors.items()}
    score = {kind: agreement(table, target) for kind, table in carried.items()}
    score["embeddings"] = agreement(by_embeddings(source), target)
    wrong = [agreement(regions.carry(truth[source], source, [v]), target) for v in random_pairs]
    return {**score, "random pairs": np.mean(wrong)}


# %%
ways = {"mouse to human": ("mouse", "human"), "human to mouse": ("human", "mouse")}
carried = pd.DataFrame({way: scores_of(*ends) for way, ends in ways.items()})
carried.round(2)

# %% [markdown] claims=["walks_mouse_to_human", "walks_human_to_mouse", "rows_of_the_graph_mouse_to_human", "rows_of_the_graph_human_to_mouse", "random_pairs_mouse_to_human", "random_pairs_human_to_mouse", "embeddings_mouse_to_human", "embeddings_human_to_mouse"]
# **What to see:** correlation with the truth, mean of the 20 phenotypes.
#
# - By walks 0.79 from mouse to human and 0.81 back; by the rows of the same graph 0.30 and 0.31.
# - Random pairs give 0.02 and 0.04, about nothing.
# - The embeddings alone do better than the walks, 0.84 and 0.84. In this simulation expression tells all there is
#   to know, and the graph has nothing to add to it. It can pay where wiring tells what expression does not.

# %%
figure, axis = plt.subplots(figsize=(7, 3), layout="constrained")
carried.T.plot.bar(ax=axis, color=plots.COLORS[: len(carried)], rot=0, width=0.8)
axis.axhline(0, color="0.6", lw=1)
axis.set(ylabel="correlation with the truth", ylim=(None, 1))
axis.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
plt.close(figure)
alt = "Correlation of carried phenotypes with the truth: walks high, rows of the graph lower, random pairs near 0."
settings.save_figure(figure, "12_phenotypes", alt)

# %% [markdown]
# ## Exercises
#
# Write between the marks; the cell after it says what it thinks, in green or in red.
#
# **1. Read.** What is the best mean rank that any map could reach on the 41 cortical pairs?
# `regions.homologous_pairs("cortex")` has them.

# %% tags=["exercise"] exercise="nb12_best" level="a" points=1 minutes=5
best_rank, reason = None, ""
### BEGIN SOLUTION
n = regions.homologous_pairs("cortex").groupby("mouse_region").size()
best_rank = (n * (n + 1) / 2).sum() / n.sum()
reason = "n homologues of one mouse region can at best take the ranks 1 to n."
### END SOLUTION

# %% tags=["check"]
check("nb12_best", best_rank, reason)

# %% [markdown]
# **2. Write.** Write `rank_of(correlations, homologue)`: the rank of one human region among all by their
# correlation with a mouse region. `correlations` is an array, `homologue` a position in it. The highest
# correlation has the rank 1, and regions that tie share the mean of their ranks. Do without `rankdata`.


# %% tags=["exercise"] exercise="nb12_rank" level="b" points=2 minutes=10
def rank_of(correlations, homologue):
    ### BEGIN SOLUTION
    own = correlations[homologue]
    higher = (correlations > own).sum()
    ties = (correlations == own).sum()
    return 1 + higher + (ties - 1) / 2
    ### END SOLUTION


# %% tags=["check"]
check("nb12_rank", rank_of)

# %% [markdown]
# **3. Discuss.** A colleague maps your human regions to a third species and reports a mean rank of 20 among
# 105. Which comparisons do you ask for before either of you claims anything, and what would each rule out?

# %% [markdown] tags=["rubric"] exercise="nb12_claim" level="c" points=4 minutes=10
# - 1 point for raw expression: what the network adds to it.
# - 1 point for shuffled labels, with the true averages too: what comes without anything learnt.
# - 1 point for donors held out whole, several repeats and their spread.
# - 1 point for the best mean rank possible and the middle, and for asking whether epochs or settings were
#   chosen by the ranks.

# %%
check.table()

# %% [markdown]
# On your own files the command line trains, embeds and ranks, with the options of the published code and on
# files laid out for it: `python -m imap_keras.regions -n 10 -g_path genes.csv -d_path cells.h5ad -m_trans_path
# mouse.h5ad -h_trans_path human.h5ad -hm_path pairs.csv -s_path results`. Interrupted, it goes on where it
# stopped.
#
# ## What was learnt
#
# To name regions, a network must ignore what varies within a region; that is why its last hidden layer maps
# regions across species although it never saw a mouse. A split by donor keeps the accuracy honest, the
# validation loss chooses the epoch, and ranks are judged against raw expression, chance and shuffled labels. A
# graph of both brains carries phenotypes across, and is to be judged against the simpler ways, too.

# %% tags=["plumbing"]
results.add("hand_computed_ranks", rank_error, "<= 1e-12")
results.add("parameters_of_the_papers_network", n_parameters, "== 2825105")
results.add("lobe_share_of_two_components", between["lobe"], "<= 0.2")
results.add("piece_share_of_two_components", between["piece"], ">= 0.3")
results.add("first_cortical_training_accuracy", model.history["accuracy"].max(), ">= 0.8")
results.add("first_cortical_held_out_accuracy", model.validation_accuracy, "<= 0.85")
results.add("circles_above_column_mean_raw", on_red["raw"], "<= 0.95")
results.add("circles_above_column_mean_embedding", on_red["embedding"], ">= 0.95")

# %% tags=["plumbing"]
apart = (both["shared"] - both["detached"]).groupby(both["part"]).mean()
for part in pairs:
    mean = summary.xs("mean", axis=1, level=1).loc[part]
    middle = regions.chance_rank(n_regions[part])
    results.add(f"{part}_accuracy_times_chance", times_chance[part], ">= 20")
    results.add(f"{part}_raw_minus_embedding", mean["raw expression"] - mean["embedding"], "> 0")
    results.add(f"{part}_chance_minus_raw", middle - mean["raw expression"], "> 0")
    results.add(f"{part}_shared_minus_detached", apart[part], ">= 0")

# %% tags=["plumbing"]
for part in pairs:
    middle, (raw, _) = regions.chance_rank(n_regions[part]), summary.loc[part, "raw expression"]
    highest = {"embedding": raw, "raw expression": middle, "chance": 1.5 * middle}
    for name, bound in highest.items():
        (mean, spread), label = summary.loc[part, name], f"{part}_{name.replace(' ', '_')}"
        results.add(f"{label}_rank", mean, f"< {bound:.4f}")
        results.add(f"{label}_spread", spread, f"<= {middle / 2}")

# %% tags=["plumbing"]
ratio = {name: null[name].mean() / expected for name, expected in (("rank", 53), ("loss", np.log(105)))}
sigma = np.sqrt(104) / 105 / np.sqrt(few * held_out.sum())
results.add("shuffled_rank", null["rank"].mean(), "<= 58.3")
results.add("true_averages_rank", null["true averages"].mean(), "< 53")
results.add("shuffled_rank_off_chance", abs(ratio["rank"] - 1), "<= 0.1")
results.add("shuffled_loss_off_chance", abs(ratio["loss"] - 1), "<= 0.1")
results.add(
    "shuffled_accuracy_sigmas_off_chance", abs(null["accuracy"].mean() - 1 / 105) / sigma, "<= 4"
)

# %% tags=["plumbing"]
results.add("published_mean_rank", nine["published rank"].mean(), "<= 2.3334")
results.add("published_chance_rank", regions.chance_rank(len(published)), "== 11.5")
results.add("published_first_ranks", (nine["published rank"] == 1).sum(), "== 3")
results.add("simulated_mean_rank", nine["simulated rank"].mean(), "<= 2.3334")
bounds = {"walks": ">= 0.6", "rows of the graph": "<= 0.55", "embeddings": ">= 0.6"}
for kind, values in carried.iterrows():
    for way, value in values.items():
        name = f"{kind}_{way}".replace(" ", "_")
        results.add(name, value, bounds.get(kind, "<= 0.2"))
ahead = (carried.loc["embeddings"] - carried.loc["walks"]).min()
results.add("embeddings_above_walks", ahead, "<= 1" if fast else ">= 0.01")
results.save()

# %% tags=["plumbing"]
versions_table()
