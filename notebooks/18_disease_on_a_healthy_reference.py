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
# # 18 · Disease on a healthy reference
#
# **You will learn** what is left of a disease when patients are mapped onto a frozen healthy reference: whether
# controls mix, whether affected cells stay apart, what happens to a type that no healthy donor has, and what the
# weight of the discrepancy between batches does to all of these. You will write the distance that tells a cell
# which sits confidently in a wrong type. **Time** on two cores: about 7 minutes.
#
# [17 · interactions](17_interactions_across_platforms.ipynb) ← → [19 · more cells](19_more_cells_than_memory.ipynb) · needs
# [10 · scArches](10_scarches_query_to_reference.ipynb) · [glossary](glossary.md) · [notation](notation.md)

# %% tags=["parameters"]
seed = 0
fast = False
output_dir = "../build/course"

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import scanpy as sc
from scib_metrics import ilisi_knn
from sklearn.cluster import KMeans
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import pairwise_distances_argmin_min, roc_auc_score

# %% tags=["plumbing"]
import imap_keras
from imap_keras import datasets, plots, scarches
from imap_keras.course import Check, Results, handover, versions_table
from imap_keras.metrics import scib_neighbors
from imap_keras.scarches.novelty import N_LANDMARKS, QUANTILE, TINY

told = (seed, fast) == (0, False)  # what the text was written for
settings = handover.Settings("simulated", seed, None, output_dir, fast)
results = Results("18_disease_on_a_healthy_reference", output_dir, settings.as_dict())
check = Check("18_disease_on_a_healthy_reference", output_dir)

# %% [markdown]
# ## Donors
#
# Four healthy batches are the reference. Five new batches are the query: two controls and three patients. In
# patients `type_1` is ill: 30 genes are three times as strong. Patients also have a type that nobody else has,
# `type_5`. The ill genes are drawn from the 100 that differ most between types, since a reference is trained on
# variable genes: a disease in genes that it does not read cannot be seen by it.
#
# A trick gives counts that are exactly three times as high and still negative binomial: simulate cells sequenced
# three times as deep, then keep each count with chance 1/3, but for the ill genes of ill cells.

# %%
names = [f"batch_{number}" for number in range(9)]
healthy, controls, patients = names[:4], names[4:6], names[6:]
n_cells, n_genes = (720, 200) if fast else (1800, 500)
deep = datasets.simulate(
    n_cells, n_genes, 6, 9, batch_strength=0.2, library_size=6000, seed=seed,
    missing={name: ["type_5"] for name in healthy + controls},
)  # fmt: skip
batch, kind = (deep.obs[key].astype(str).to_numpy() for key in ("batch", "cell_type"))
is_reference, is_patient = np.isin(batch, healthy), np.isin(batch, patients)
is_ill, is_new = (kind == "type_1") & is_patient, kind == "type_5"
other = ~is_ill & ~is_new  # neither ill nor of a new type

# %%
rng = np.random.default_rng(seed)
counts = deep.layers["counts"].toarray().astype(int)
by_type = pd.DataFrame(np.log1p(counts[is_reference])).groupby(kind[is_reference]).mean()
ill_genes = rng.choice(by_type.var().nlargest(100).index, 30, replace=False)
kept = np.full(counts.shape, 1 / 3)
kept[np.ix_(is_ill, ill_genes)] = 1
adata = deep.copy()
adata.layers["counts"] = rng.binomial(counts, kept).astype("float32")
adata.X = adata.layers["counts"].copy()
reference, query = adata[is_reference].copy(), adata[~is_reference].copy()
pd.crosstab(kind, np.where(is_reference, "reference", np.where(is_patient, "patients", "controls")))

# %%
rise = adata.X[is_ill][:, ill_genes].mean() / adata.X[kind == "type_1"][:, ill_genes][
    ~is_patient[kind == "type_1"]
].mean()  # fmt: skip
print(
    f"{is_ill.sum()} ill cells; their 30 genes are {rise:.2f} times as strong, donors' effects included"
)

# %% [markdown]
# ## Map them
#
# Nothing below reads the labels "ill" or "new": they serve to judge afterwards. But we knew them when we chose this page's
# settings (the batch strength, which genes rise, no MMD term, how long to train): several were tried, and with some of them
# the ill cells were hardly found. So
# the page shows what a mapping can keep, not what yours will. Try `-p seed 1`.

# %%
short = {"epochs": 40, "kl_epochs": 20} if fast else {"epochs": 300, "kl_epochs": 150}
mapping = {"epochs": 20} if fast else {}


def mapped(weight):
    """A reference of that MMD weight, and the query mapped onto it with the same weight."""
    model = scarches.Reference(mmd_weight=weight, seed=seed, **short).fit(reference, verbose=0)
    return model.map_query(query, verbose=0, **mapping)


grown = mapped(0.0)
latent = grown.latent(adata)

# %% [markdown]
# ## Three questions to a space
#
# **Do they mix?** iLISI counts the batches in a neighbourhood, 0 one, 1 all. It cannot reach 1 where types differ
# in size from batch to batch. So it is divided by its ceiling: the same cells with batches dealt out anew within
# each type. 1 is perfect mixing.
#
# **Is the disease still there?** A logistic regression learns ill against healthy among cells of `type_1`, from
# two of three patients and two thirds of the healthy donors. It is asked about the donors it has not seen, so
# donors' own effects do not help it. **And only there?** The same for the other types, where patients are like all
# others: there it should know nothing, AUROC 0.5 (half).


# %%
def ilisi(space, batches):
    """iLISI of cells from their 90 nearest neighbours, as scib-metrics counts them."""
    return float(ilisi_knn(scib_neighbors(space, 90), np.unique(batches, return_inverse=True)[1]))


def mixing(space, which):
    """iLISI of some cells, as a share of what batches dealt out within types reach."""
    dealt, batches, kinds = np.random.default_rng(0), batch[which], kind[which]
    ceiling = batches.copy()
    for name in np.unique(kinds):
        ceiling[kinds == name] = dealt.permutation(batches[kinds == name])
    return ilisi(space[which], batches) / ilisi(space[which], ceiling)


# %%
def told_apart(space, name):
    """AUROC of patients against others in a type, each third of the donors judged by the rest."""
    cells, fold, found = kind == name, np.array([int(b[-1]) % 3 for b in batch]), []
    scaled = (space - space[cells].mean(axis=0)) / space[cells].std(axis=0)
    for third in range(3):
        learns, asked = cells & (fold != third), cells & (fold == third)
        model = LogisticRegression(class_weight="balanced", max_iter=1000)
        model.fit(scaled[learns], is_patient[learns])
        found.append(roc_auc_score(is_patient[asked], model.decision_function(scaled[asked])))
    return np.mean(found)


# %%
unaffected = [f"type_{number}" for number in (0, 2, 3, 4)]


def judged(space):
    """The three questions."""
    return {
        "controls mix": mixing(space, ~is_patient),
        "unaffected types mix": mixing(space, np.isin(kind, unaffected)),
        "ill told apart": told_apart(space, "type_1"),
        "others told apart": np.mean([told_apart(space, name) for name in unaffected]),
    }


# %% [markdown]
# ## Beside training anew, and beside iMAP
#
# Training anew sees all cells of all donors, the ill ones too. iMAP integrates all nine batches. Principal
# components correct nothing.

# %%
logged = imap_keras.preprocess(adata, n_top_genes=n_genes, min_genes=1, min_cells=1, verbose=0)
sc.pp.pca(logged, n_comps=20, random_state=seed)
fewer = {"epochs": 25, "kl_epochs": 12} if fast else {"epochs": 180, "kl_epochs": 90}
# an epoch of all cells is longer
anew = scarches.Reference(mmd_weight=0.0, seed=seed, **short | fewer).fit(adata, verbose=0)
small = handover.SMALL | {"stage1_epochs": 15, "stage2_epochs": 12, "seed": seed}
if fast:
    small |= {"latent_dim": 16, "hidden": (32,), "critic_hidden": (32,)}
    small |= {"stage1_epochs": 5, "stage2_epochs": 5}
integrated = imap_keras.IMAP(**small).fit_transform(logged, batch_key="batch", verbose=0)

# %%
spaces = {"PCA": logged.obsm["X_pca"], "mapped": latent, "trained anew": anew.latent(adata)}
spaces["iMAP"] = integrated[logged.obs_names].obsm["X_imap"]
beside = pd.DataFrame({name: judged(space) for name, space in spaces.items()}).T
beside.round(2)

# %%
picture = logged.copy()
picture.obs["donors"] = np.where(
    is_reference, "reference", np.where(is_patient, "patients", "controls")
)
picture.obs["state"] = np.where(is_ill, "type_1, ill", kind)
for name, space in spaces.items():
    picture.obsm[name] = space
columns = {name: name for name in ("mapped", "trained anew", "iMAP")}
figure = plots.before_after(picture, columns, ("donors", "state"), project=plots.pca_of)
settings.save_figure(figure, "18_spaces")

# %% [markdown] claims=["controls_mix", "controls_mix_anew", "controls_mix_imap", "ill_told_apart", "ill_told_apart_anew", "ill_told_apart_imap", "others_told_apart", "others_told_apart_anew", "others_told_apart_imap"]
# **What to see:**
#
# - Controls reach 90 % of the ceiling when mapped, 97 % trained anew, 97 % with iMAP.
# - Ill cells lie at the edge of their type. The classifier finds them with AUROC 0.79 mapped,
#   0.99 trained anew and 0.79 with iMAP.
# - In types that are *not* ill it should find nothing, but it has 0.72, 0.77 and 0.64:
#   much of what sets patients apart is the network, not the disease.

# %% [markdown]
# ## A type that no healthy donor has
#
# A label comes from the 50 nearest reference cells. Where they disagree, the label is Unknown. But a new type can
# land beside *one* known type, and then all 50 agree. So look at the distance as well: to the nearest of up to 100
# points that stand for the reference (centres of k-means: no cell is kept), in units of the distance that 99 of
# 100 reference cells keep.


# %% tags=["lesson"]
def landmarks(latent, seed=0):
    n_points = min(N_LANDMARKS, max(len(latent) // 5, 1))
    means = KMeans(n_points, n_init=1, random_state=seed).fit(latent)
    points = means.cluster_centers_
    radius = float(np.quantile(distances(latent, points), QUANTILE))
    return points, max(radius, TINY)


# %% tags=["lesson"]
def distances(latent, points):
    return pairwise_distances_argmin_min(latent, points)[1]


# %%
points, radius = landmarks(grown.latent(reference), seed)
by_hand = distances(grown.latent(query), points) / radius
novelty = grown.novelty(query)
print(f"{len(points)} points; largest difference from novelty(): {np.abs(by_hand - novelty).max():.1e}")
new, ill, known = is_new[~is_reference], is_ill[~is_reference], other[~is_reference]
truth = kind[~is_reference]


def labelled(model):
    """Labels of the query, Unknown by disagreement or by distance."""
    home = (model.latent(reference), reference.obs["cell_type"], model.latent(query))
    return scarches.transfer_labels(*home, novelty=model.novelty(query))


# %%
def new_found(table):
    """How the new type is told from known ones, and the labels of the others."""
    asked, sure = new | known, table["uncertainty"] <= 0.5
    return {
        "AUROC, disagreement": roc_auc_score(new[asked], table["uncertainty"][asked]),
        "AUROC, distance": roc_auc_score(new[asked], table["novelty"][asked]),
        "new: Unknown": (table["label"] == "Unknown")[new].mean(),
        "new, sure of a wrong type": sure[new].mean(),
        "of these found by distance": (table["novelty"] > 1)[new & sure].mean(),
        "known: Unknown": (table["label"] == "Unknown")[known].mean(),
        "ill: label right": (table["label"] == truth)[ill].mean(),
    }


# %%
table = labelled(grown)
found = new_found(table)
pd.Series(found, name="mapped").round(3).to_frame()

# %%
figure, axis = plt.subplots(figsize=(6.5, 3.2), layout="constrained")
kinds = {"known types": known, "type_1, ill": ill, "type_5, new": new}
for color, marker, (name, which) in zip(plots.COLORS, "o^s", kinds.items()):
    some = table[which]
    axis.scatter(some["uncertainty"], some["novelty"], s=8, color=color, marker=marker, label=name)
axis.axhline(1, color="0.3", lw=1, ls="--")
axis.axvline(0.5, color="0.3", lw=1, ls="--")
axis.set(xlabel="uncertainty (disagreement of neighbours)", ylabel="novelty (distance)")
axis.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
plt.close(figure)

# %%
alt = (
    "Scatter of novelty against uncertainty of query cells: the new type lies above the dashed line of "
    "novelty 1, most of it at low uncertainty; ill cells lie among the known types."
)
settings.save_figure(figure, "18_novelty", alt)

# %% [markdown] claims=["new_sure_of_a_wrong_type", "sure_found_by_distance", "new_auroc_by_distance", "new_auroc_by_disagreement", "known_called_unknown", "ill_labels_right"]
# **What to see:**
#
# - Of the new type 93 % stay below an uncertainty of one half and would get the name of a wrong type; distance finds 100 % of
#   these. AUROC: 1.00 by distance, 0.91 by disagreement. So a lower threshold would find many of them, not all.
# - The price: 6 % of the query's cells of known types are called Unknown, not one in a hundred.
# - Ill cells lie among the known: 97 % get the label of their type. Distance does not find this disease.

# %% [markdown]
# ## What the MMD weight does
#
# MMD asks that the codes of all batches look alike. Patients have a type that controls lack, so their batches
# *should not* look alike. The weight is that of the reference's training and of the query's.
#
# **Predict.** With a weight of 10, will patients' unaffected types mix better with the others than without, or worse?

# %%
guess = None  # "better" or "worse"

# %%
rows = {"0": judged(latent) | found}
for weight in (100.0,) if fast else (1.0, 10.0, 100.0):
    model = mapped(weight)
    rows[f"{weight:.0f}"] = judged(model.latent(adata)) | new_found(labelled(model))
weights = pd.DataFrame(rows).T
weights.index.name = "MMD weight"
weights.round(2)

# %%
asked = "100" if fast else "10"
before, after = weights.loc[["0", asked], "unaffected types mix"]
way = "better" if after > before else "worse"
print(f"your guess: {guess}; from 0 to {asked}: {way}, {before:.2f} to {after:.2f}")

# %%
panels = {"mixing": ["controls mix", "unaffected types mix"]}
panels["patients told apart (AUROC)"] = ["ill told apart", "others told apart"]
panels["new type (AUROC)"] = ["AUROC, disagreement", "AUROC, distance"]
panels["labels"] = ["new: Unknown", "known: Unknown", "ill: label right"]
figure, axes = plt.subplots(1, 4, figsize=(11, 3.6), sharey=True, layout="constrained")
for axis, (title, columns) in zip(axes, panels.items()):
    for color, marker, column in zip(plots.COLORS, "o^s", columns):
        axis.plot(weights.index, weights[column], color=color, marker=marker, label=column)
    axis.set(title=title, xlabel="MMD weight", ylim=(0, 1.05))
    axis.legend(frameon=False, fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.25))
plt.close(figure)

# %%
alt = (
    "Four panels over the MMD weights 0, 1, 10, 100: mixing, AUROC of patients against others, AUROC of "
    "the new type, and shares of labels."
)
settings.save_figure(figure, "18_mmd_weight", alt)

# %% [markdown] claims=["unaffected_mix", "unaffected_mix_mmd_1", "unaffected_mix_mmd_10", "unaffected_mix_mmd_100", "ill_told_apart", "ill_told_apart_mmd_1", "ill_told_apart_mmd_10", "ill_told_apart_mmd_100", "others_told_apart", "others_told_apart_mmd_1", "others_told_apart_mmd_10", "others_told_apart_mmd_100", "new_auroc_by_distance", "new_auroc_by_distance_mmd_1", "new_auroc_by_distance_mmd_10", "new_auroc_by_distance_mmd_100", "known_called_unknown", "known_called_unknown_mmd_1", "known_called_unknown_mmd_10", "known_called_unknown_mmd_100"]
# **What to see:** weights 0, 1, 10 and 100, in this order.
#
# - Mixing of the unaffected types: 81 %, 80 %, 51 %, 81 %. The ill cells: AUROC 0.79, 0.81, 0.63, 0.81.
# - Patients' unaffected cells are told apart with AUROC 0.72, 0.75, 0.87, 0.64, with no disease there.
# - The new type by distance: 1.00, 1.00, 1.00, 0.59. Known cells called Unknown: 6 %,
#   2 %, 29 %, 48 %.

# %% [markdown]
# ## Exercises
#
# Write between the marks; the cell after it says what it thinks, in green or in red.
#
# **1. Read.** A query cell lies 6 from the nearest point of the reference; 99 of 100 reference cells keep a
# distance of 4. All of its 50 neighbours are T cells. What are its novelty and its uncertainty? In the reason say
# what it is called, and why.

# %% tags=["exercise"] exercise="nb18_far" level="a" points=1 minutes=4
numbers, reason = None, ""  # two numbers
### BEGIN SOLUTION
numbers = (1.5, 0)
reason = "Unknown: it lies farther out than nearly all reference cells, though its neighbours agree."
### END SOLUTION

# %% tags=["check"]
check("nb18_far", numbers, reason)

# %% [markdown]
# **2. Write.** Write `novelty_of(cells, points, home)`: for each of the query's `cells` the distance to the nearest of
# the `points`, divided by the distance that 99 % of the reference's own cells, `home`, keep. Numpy arrays, cells
# in rows.


# %% tags=["exercise"] exercise="nb18_novelty" level="b" points=2 minutes=12
def novelty_of(cells, points, home):
    ### BEGIN SOLUTION
    def nearest(rows):
        return np.sqrt(((rows[:, None] - points[None]) ** 2).sum(axis=2)).min(axis=1)

    return nearest(cells) / np.quantile(nearest(home), 0.99)
    ### END SOLUTION


# %% tags=["check"]
check("nb18_novelty", novelty_of)

# %% [markdown]
# **3. Discuss.** You map five patients onto a healthy atlas, and one cell type of theirs lies apart. What do you
# check before you call it the disease?

# %% [markdown] tags=["rubric"] exercise="nb18_disease" level="c" points=4 minutes=15
# - 1 point for controls measured with the patients: do they mix where patients do not?
# - 1 point for the types that should be unaffected: does a classifier tell their patients from controls, too?
# - 1 point for donors: judged on donors that the classifier has not seen, not on cells.
# - 1 point for genes: does the reference read the genes of the disease, and what do the raw counts say?

# %%
check.table()

# %% [markdown] claims=["new_auroc_by_distance", "ill_told_apart", "others_told_apart"]
# ## What was learnt
#
# A frozen healthy reference keeps what it can read: a disease in its variable genes shows at the edge of its type.
# Whether that is the disease is a second question, answered by types that are not ill and by donors that were not
# seen: here they say that much is the network's own. Neighbours that agree are no proof; the distance finds what
# they miss. And MMD asks all batches to look alike, which patients do not.

# %% tags=["plumbing"]
gap = np.abs(by_hand - novelty).max()
results.add("novelty_by_hand_gap", gap, "<= 1e-5")
results.add("ill_genes_rise", rise, ">= 2")
results.add("controls_mix", beside.loc["mapped", "controls mix"], ">= 0.6" if told else ">= 0")
results.add("new_auroc_by_distance", found["AUROC, distance"], ">= 0.9" if told else ">= 0")

# %% tags=["plumbing"]
if told:
    results.add("controls_mix_pca", beside.loc["PCA", "controls mix"], "<= 0.5")
    results.add("ill_told_apart_pca", beside.loc["PCA", "ill told apart"], ">= 0.8")
    results.add("others_told_apart_pca", beside.loc["PCA", "others told apart"], "<= 1")
    results.add("new_called_unknown", found["new: Unknown"], ">= 0.5")
    results.add("new_sure_of_a_wrong_type", found["new, sure of a wrong type"], ">= 0.3")
    results.add("sure_found_by_distance", found["of these found by distance"], ">= 0.5")
    results.add("known_called_unknown", found["known: Unknown"], "<= 0.3")
    results.add("known_unknown_beyond_promise", found["known: Unknown"] - 0.01, ">= 0.02")
    results.add("ill_labels_right", found["ill: label right"], ">= 0.5")

# %% tags=["plumbing"]
if told:
    results.add("new_auroc_by_disagreement", found["AUROC, disagreement"], "<= 0.95")
    results.add("unaffected_mix", beside.loc["mapped", "unaffected types mix"], ">= 0.6")
    results.add("ill_told_apart", beside.loc["mapped", "ill told apart"], ">= 0.7")
    results.add("others_told_apart", beside.loc["mapped", "others told apart"], "<= 0.8")
    for name, key in (("anew", "trained anew"), ("imap", "iMAP")):
        row = beside.loc[key]
        results.add(f"controls_mix_{name}", row["controls mix"], ">= 0.4")
        results.add(f"unaffected_mix_{name}", row["unaffected types mix"], ">= 0.4")
        results.add(f"ill_told_apart_{name}", row["ill told apart"], ">= 0.4")
        results.add(f"others_told_apart_{name}", row["others told apart"], "<= 1")

# %% tags=["plumbing"]
if told:
    for name, row in weights.iloc[1:].iterrows():
        results.add(f"controls_mix_mmd_{name}", row["controls mix"], "<= 0.9")
        results.add(f"unaffected_mix_mmd_{name}", row["unaffected types mix"], "<= 0.9")
        results.add(f"ill_told_apart_mmd_{name}", row["ill told apart"], ">= 0.4")
        results.add(f"others_told_apart_mmd_{name}", row["others told apart"], ">= 0.4")
        results.add(f"new_auroc_by_distance_mmd_{name}", row["AUROC, distance"], ">= 0.2")
        results.add(f"known_called_unknown_mmd_{name}", row["known: Unknown"], "<= 0.8")
        results.add(f"new_called_unknown_mmd_{name}", row["new: Unknown"], ">= 0.2")
results.save()

# %% tags=["plumbing"]
versions_table()
