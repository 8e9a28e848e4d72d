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
# # 08 · From the reference to the default, step by step
#
# **You will learn** which of this kit's changes to the published code help, and by how much. The reference
# settings come first, then one step after the other (some of several hyperparameters that need one another), each
# with two seeds, scored for mixing, for types and in seconds. **Time** on two cores: about 7 minutes.
#
# [07 · real data](07_real_data.ipynb) ← → [09 · beside its peers](09_peers.ipynb) ·
# [glossary](glossary.md) · [notation](notation.md)

# %% tags=["parameters"]
seed = 0
epochs = None
fast = False
output_dir = "../build/course"

# %%
import time

import matplotlib.pyplot as plt
import pandas as pd
import scib_metrics
from sklearn.metrics import silhouette_score

from imap_keras import IMAP, datasets, metrics, plots, preprocess
from imap_keras.course import Check, Results, handover, versions_table
from imap_keras.peers import uncorrected

# %% tags=["plumbing"]
told = (seed, epochs, fast) == (0, None, False)  # what the text was written for (notebook 00)
settings = handover.Settings("simulated", seed, epochs, output_dir, fast)
results = Results("08_ablation", output_dir, settings.as_dict())
check = Check("08_ablation", output_dir)

# %% [markdown]
# ## The cells
#
# Simulated, so that the truth is known: two batches, a strong batch effect, one type missing from one of the
# batches. (`benchmarks/ablation.py` asks the same question of real cells and of surface proteins, and takes
# every change by itself: table in `benchmarks/README.md`.)

# %%
raw = datasets.simulate(
    n_cells=300,
    n_genes=300,
    n_batches=2,
    n_types=4,
    batch_strength=0.5,
    missing={"batch_1": ["type_0"]},
    seed=seed,
)
adata = preprocess(raw, min_genes=20, verbose=0)
adata

# %% [markdown]
# ## The path
#
# Each step keeps all steps before it. The networks are small here and all runs train for the same epochs, so
# that a laptop can do all of it; the order of the steps is a choice, and a change may be worth more or less
# in another place.

# %%
n_epochs = epochs or 20
small = {"latent_dim": 32, "hidden": (128, 64), "critic_hidden": (64, 64), "search": "exact"}
small |= {"stage1_epochs": 10, "stage2_epochs": n_epochs, "pool_size": 10_000, "few_cells": 0}
path = {
    "the reference": {},
    "64 rows per step": {"stage1_rows": 64, "stage1_learning_rate": 1e-3, "stage2_rows": 64},
    "sound BatchNorm, zero biases": {"initialization": "zero_bias", "recalibrate": True},
    "pairs in both spaces, agreeing": {"pair_space": "both", "k1": 20, "k2": 20, "pair_agreement": 0.5},
}
path["pairs in both spaces, agreeing"] |= {"walk_length": 10, "incremental": True, "least_paired": 0.5}
path["pairs in both spaces, agreeing"] |= {"cap_neighbors": True, "lazy_walk": False}

# %%
path |= {
    "5 critic steps": {"critic_steps": 5, "generator_first": False},
    "a paired term": {"keep_pairs": True, "lambda_pair": 100.0, "neighbor_target": True},
    "balanced pairs": {"balance_pairs": True},
    "start with the mean move": {"identity_start": True, "shift_start": True},
    "no ReLU at the end": {"relu_output": False},
    "mean of the last weights": {"average_epochs": n_epochs // 2},
    "one scale, unit length": {"spread": 0.8, "unit_length": True},
    "components weighed": {"component_neighbors": 20},
    "one spread": {"match_spread": True},
}

# %% [markdown]
# At its end the path has arrived at the default, or something would be missing from this page. (Left out of the
# comparison: sizes, epochs and how many of the last of them are averaged, which are smaller or shorter here.)

# %%
arrived = {name: value for change in path.values() for name, value in change.items()}
full = IMAP("reference", **arrived | small).hyperparameters.as_dict()
default = IMAP(**small, average_epochs=arrived["average_epochs"]).hyperparameters.as_dict()
left_out = sum(full[name] != default[name] for name in default)
left_out

# %% [markdown]
# ## Two scores
#
# *Mixing* is iLISI, the effective number of batches in a neighbourhood, scaled to 0 ... 1. *Types* is the
# silhouette of the cell types, 0.5 if they cannot be told apart. Both are part of scIB's table (notebook 07).


# %%
def scores(space):
    batch, types = (adata.obs[key].astype(str).to_numpy() for key in ("batch", "cell_type"))
    mixing = scib_metrics.ilisi_knn(metrics.scib_neighbors(space, 60), batch)
    return {"mixing": float(mixing), "types": (silhouette_score(space, types) + 1) / 2}


# %% [markdown]
# **Predict.** The path has thirteen steps. Which one will raise the mixing most over the step before it? Write
# down its title before you run on.

# %%
guess = None  # a title of `path`


# %%
def measure(changes, run_seed):
    start = time.perf_counter()
    fitted = IMAP("reference", **small | changes, seed=run_seed).fit(adata, verbose=0)
    seconds = time.perf_counter() - start
    return scores(fitted.transform(adata).obsm["X_imap"]) | {"seconds": seconds}


# %%
seeds = [seed] if fast else [seed, seed + 1]
rows, changes = [], {}
for number, (title, change) in enumerate(path.items()):
    changes = changes | change
    if fast and number not in (0, 12):  # every change is made, but few are measured
        continue
    for run_seed in seeds:
        rows.append({"step": title, "seed": run_seed} | measure(changes, run_seed))
runs = pd.DataFrame(rows)

# %%
by_step = runs.drop(columns="seed").groupby("step", sort=False)
table = by_step.mean().join(by_step.std().add_suffix(" ±"))
table = table[["mixing", "mixing ±", "types", "types ±", "seconds"]]
table.round(3)

# %%
print(f"your guess: {guess}; what raised it most: {by_step['mixing'].mean().diff().idxmax()}")

# %% [markdown]
# A dot is one run, the line joins the means, the dashed line is the uncorrected data. The seconds are those of this
# machine. Four words of the last steps: `spread` multiplies all cells by one number before training, so that learning
# rates and weights suit any data; `unit_length` compares corrected cells by their profile and not by their depth;
# `component_neighbors` weighs components by what neighbours share, and `match_spread` scales them until paired cells are
# spread alike. Notebook 03 teaches the first, 05 the others.

# %% [markdown] claims=["mixing_reference", "types_64_rows", "types_recalibrated", "types_recalibrated_apart", "mixing_more_generator_steps", "mixing_paired_term", "mixing_mean_move", "mixing_without_relu", "mixing_one_scale", "mixing_weighed", "mixing_default", "types_one_scale", "types_weighed", "types_default", "balanced_pairs_change", "averaged_weights_change"]
# **What to see:**
#
# - In so few epochs the reference hardly mixes (0.00). With 64 rows per step the types are told poorly, too (0.32): the
#   reference's BatchNorm statistics are off.
#   Statistics re-estimated on real cells give 0.59, with either seed (0.00 apart).
# - Twice as many generator steps mix (0.07). A paired term takes that back (0.00) as long as the generator starts far
#   from its targets; a start at the mean move brings it to 0.11, no ReLU at the end to 0.19, and one scale with unit
#   length to 0.24.
# - Weighed components more than triple it, to 0.76, and tell the types apart better (0.61 before, 0.85 after). One spread
#   brings the mixing to 0.85, and leaves the types at 0.85. Here the noise of each cell is drawn for itself, which suits both; of
#   real cells the gains are smaller, and on some sets of few genes there is none (`benchmarks/README.md`).
# - Balanced pairs and the mean of the last weights change the mixing by 0.00 and 0.00 here. They were chosen on other sets.
#   The order matters: a step is judged with all before it and none after.

# %%
before = scores(uncorrected(adata))
figure, axes = plt.subplots(1, 3, figsize=(10, 4.2), sharey=True, layout="constrained")
for axis, name in zip(axes, ("mixing", "types", "seconds")):
    axis.plot(by_step[name].mean(), list(table.index), color="0.6")
    axis.scatter(runs[name], runs["step"], color=plots.COLORS[0], s=18, zorder=3)
    axis.set(title=name)
    if name in before:
        axis.axvline(before[name], color="0.4", ls="--", lw=1)
axes[0].invert_yaxis()
plt.close(figure)

# %%
alt = (
    "Three panels, mixing, types and seconds: one row for each step from the reference to the "
    "default, a point for each run, a line through the means."
)
settings.save_figure(figure, "08_ablation", alt)

# %% [markdown]
# ## Exercises
#
# Write between the marks; the cell after it says what it thinks, in green or in red.
#
# **1. Read.** Two changes, two seeds, the mixing before and after:
#
# | | seed 0 | seed 1 |
# |---|---|---|
# | before | 0.10 | 0.30 |
# | after change P | 0.14 | 0.34 |
# | after change Q | 0.26 | 0.22 |
#
# Which change would you keep, and why? (a) Its mean gain is larger. (b) It gains with every seed. (c) After it
# the seeds lie nearer to each other.

# %% tags=["exercise"] exercise="nb08_keep" level="a" points=1 minutes=3
kept = None  # a change and a reason, two letters
### BEGIN SOLUTION
kept = ("P", "b")
### END SOLUTION

# %% tags=["check"]
check("nb08_keep", kept)

# %% [markdown]
# **2. Write.** The ± of the table tells how far the seeds of a step lie apart, not how sure its gain is. Write
# `paired_gain(runs)`: for each step but the first, the gain in `mixing` over the step before it *with the same
# seed*. Return a table with a row for each of these steps in the order of the path, and the columns `gain`
# (mean over the seeds) and `spread` (their standard deviation). `runs` has the columns `step`, `seed` and
# `mixing`.


# %% tags=["exercise"] exercise="nb08_gain" level="b" points=2 minutes=10
def paired_gain(runs):
    ### BEGIN SOLUTION
    by_seed = runs.pivot(index="seed", columns="step", values="mixing")
    by_seed = by_seed[runs["step"].unique()]
    gain = by_seed.diff(axis=1).iloc[:, 1:]
    return pd.DataFrame({"gain": gain.mean(), "spread": gain.std()})
    ### END SOLUTION


# %% tags=["check"]
check("nb08_gain", paired_gain)

# %% [markdown]
# **3. Discuss.** Choose a hyperparameter of `IMAP` that is not on the path. How would you find out whether its
# default is a good one? In eight lines: what varies, what is held, which cells, how many seeds, which scores,
# and which outcome would change your mind.

# %% [markdown] tags=["rubric"] exercise="nb08_design" level="c" points=4 minutes=10
# - 1 point for one change at a time: all else stays, and epochs or seconds are the same on both sides.
# - 1 point for three seeds or more, and differences taken seed by seed.
# - 1 point for two sets of cells or more, one of them with a missing type, none of them used to choose the
#   default.
# - 1 point for a score of mixing beside a score of types, with the cost, and an outcome that is named before
#   the runs.

# %%
check.table()

# %% [markdown]
# ## What was learnt
#
# No single change makes the default: some of them only work together. Fewer rows need sound BatchNorm statistics, and
# a paired term needs a start near its targets. Judge a change with several seeds, with the cost beside it, and on
# more than one set of cells.

# %% tags=["plumbing"]
mixing, types = by_step["mixing"].mean(), by_step["types"].mean()
results.add("hyperparameters_left_out", left_out, "== 0")
results.add("default_mixing_above_uncorrected", mixing.iloc[-1] - before["mixing"], ">= 0.05")
results.add("default_mixing_above_reference", mixing.iloc[-1] - mixing.iloc[0], ">= 0.05")
results.add("default_types_above_reference", types.iloc[-1] - types.iloc[0], ">= -0.02")

# %% tags=["plumbing"]
if told:
    after = dict(zip(mixing.index, mixing))
    change = mixing.diff().abs()
    results.add("mixing_reference", after["the reference"], "<= 0.03")
    results.add("types_64_rows", types["64 rows per step"], "<= 0.5")
    sound = runs.loc[runs["step"] == "sound BatchNorm, zero biases", "types"]
    results.add("types_recalibrated", sound.mean(), ">= 0.55")
    results.add("types_recalibrated_apart", sound.max() - sound.min(), "<= 0.03")
    results.add("recalibrated_above", sound.mean() - types["64 rows per step"], ">= 0.1")

# %% tags=["plumbing"]
if told:
    results.add("mixing_more_generator_steps", after["5 critic steps"], ">= 0.04")
    results.add("mixing_paired_term", after["a paired term"], "<= 0.03")
    results.add("mixing_mean_move", after["start with the mean move"], ">= 0.08")
    results.add("mixing_without_relu", after["no ReLU at the end"], ">= 0.14")
    results.add("mixing_one_scale", after["one scale, unit length"], ">= 0.2")
    results.add("mixing_weighed", after["components weighed"], ">= 0.35")
    results.add("mixing_default", after["one spread"], ">= 0.35")

# %% tags=["plumbing"]
if told:
    steps = ["start with the mean move", "no ReLU at the end", "one scale, unit length"]
    steps += ["components weighed", "one spread"]
    moved, scaled, weighed, spread = (after[step] for step in steps[1:])
    results.add("without_relu_brings", moved - after[steps[0]], ">= 0.02")
    results.add("one_scale_brings", scaled - moved, ">= 0.02")
    results.add("weighed_times", weighed / scaled, ">= 3")
    results.add("one_spread_brings", spread - weighed, ">= 0.04")

# %% tags=["plumbing"]
if told:
    results.add("types_one_scale", types["one scale, unit length"], ">= 0.5")
    results.add("types_weighed", types["components weighed"], ">= 0.7")
    results.add("types_default", types["one spread"], ">= 0.7")
    results.add("balanced_pairs_change", change["balanced pairs"], "<= 0.02")
    results.add("averaged_weights_change", change["mean of the last weights"], "<= 0.02")
results.save()

# %% tags=["plumbing"]
versions_table()
