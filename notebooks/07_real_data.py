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
# # 07 · Real data: five cell lines on two technologies
#
# **You will learn** what iMAP does to a real benchmark with known truth: `sc_mixology` (Tian et al., Nature
# Methods 2019), five batches of five human cell lines, CEL-seq2 and Drop-seq, each cell's line read from its
# genotype. **Time** on two cores: about 5 minutes; the first time it fetches 8 MB.

# %% tags=["parameters"]
seed = 0
epochs = None
fast = False
output_dir = "../build/course"

# %%
import pandas as pd
import scib_metrics
from sklearn.metrics import silhouette_score

from imap_keras import datasets, metrics, plots
from imap_keras.course import Results, SkipNotebook, check, handover, versions_table

# %%
settings = handover.Settings("sc_mixology", seed, epochs, output_dir, fast)
results = Results("07_real_data", output_dir, settings.as_dict())

# %% [markdown]
# Without network and without a filled cache this notebook is skipped, with the reason; the rest of the
# course does not need it. `python -m imap_keras.datasets` fetches the files ahead of time.

# %%
try:
    raw = datasets.sc_mixology()
except ConnectionError as error:
    raise SkipNotebook(str(error)) from None
raw.obs.groupby(["cell_type", "batch"], observed=False).size().unstack()

# %% [markdown]
# CEL-seq2 reads cells from plates, Drop-seq from droplets. Two batches hold three lines, three hold five: two
# types are missing from two batches. Doublets (two cells under one barcode, known from the genotypes) are
# left out; 1,021 single cells remain.

# %%
adata = handover.prepared(settings)
print(adata.uns["preprocess"])

# %%
model, adata = handover.integrated(settings)
print("order:", " -> ".join(model.order))
purity = {
    name: metrics.pair_purity(pairs, adata.obs["cell_type"], adata.obs["cell_type"])
    for name, pairs in model.pairs.items()
}
model.pair_counts.assign(purity=list(purity.values())).round(3)

# %% [markdown]
# **What to see:** before, the three lines that all batches hold fall apart into one island a technology or
# experiment; after, five islands, each with all its batches. A549 and H838 are not in `celseq2` and
# `dropseq`, and those batches must not appear in their islands.

# %%
spaces = {"before (PCA)": "X_pca", "after (iMAP)": "X_imap"}
project = plots.pca_of if fast else plots.umap_of  # UMAP compiles for ten seconds
figure = plots.before_after(adata, spaces, seed=seed, project=project)
settings.save_figure(figure, "07_before_after")

# %%
settings.save_figure(plots.critic_curves(model.history["stage2"]), "07_critic")

# %% [markdown]
# **What to see above:** one line for each batch that was carried. The estimates start near 0, because the
# generator starts with the mean move of its pairs, and rise as the critic learns finer differences. Drop-seq,
# the other technology, keeps the greatest distance. The pair loss falls little: it is mostly the cells' own noise.
#
# ## Scores
#
# scIB's table (scib-metrics): bio conservation asks whether types stay, batch correction whether batches
# mix (iLISI: how many batches a neighbourhood holds), the total weighs them 0.6 to 0.4.

# %%
names = list(spaces.values())
if fast:  # scIB's whole table needs a minute to compile
    labels = adata.obs["batch"].astype(str).to_numpy()
    near = {n: metrics.scib_neighbors(adata.obsm[n], 90) for n in names}
    mixing = {n: scib_metrics.ilisi_knn(near[n], labels) for n in names}
    types = {n: silhouette_score(adata.obsm[n], adata.obs["cell_type"]) for n in names}
    table = pd.DataFrame({"iLISI": mixing, "Bio conservation": types}).astype(float)
else:
    table = metrics.scib_table(adata, names)
table.T.round(3)

# %% [markdown]
# **What to see:** batch correction rises, bio conservation does not fall.

# %%
batch, lines = adata.obs["batch"], adata.obs["cell_type"]
index = {
    title: metrics.imap_index(adata.obsm[space], batch, lines, threshold=3.0, space_name=space)
    for title, space in spaces.items()
}
settings.save_figure(plots.index_bars(index, "The paper's index"), "07_index")

# %% [markdown]
# **What to see:** nearly all neighbourhoods are of one line before and after; after, their batches come in the
# right proportions. (At the paper's threshold 1 five perfectly mixed batches would themselves score low.)
#
# ## What the correction did to a gene
#
# The corrected expression is there gene by gene. The gene whose mean differs most between Drop-seq and the
# anchor, before:

# %%
is_dropseq, is_anchor = (batch == name for name in ("dropseq", model.order[0]))
shared = lines.isin(lines[is_dropseq].unique())
layers = {"before": handover.arrays(settings)[0], "after": adata.layers["imap"]}
gap = {
    name: abs(values[is_dropseq & shared].mean(0) - values[is_anchor & shared].mean(0))
    for name, values in layers.items()
}
gene = int(gap["before"].argmax())
pd.Series({name: g[gene] for name, g in gap.items()}, name=adata.var_names[gene]).round(3).to_frame()

# %% [markdown]
# ## Exercise
#
# Over all genes, what is the mean absolute gap after the correction as a share of the gap before?

# %%
answer = None  # a number between 0 and 1

# %% jupyter={"source_hidden": true} tags=["solution"]
solution = gap["after"].mean() / gap["before"].mean()

# %%
check(answer, solution)

# %% [markdown]
# ## What was learnt
#
# On real batches with known truth the method mixes technologies and keeps lines apart, those included that
# two of the batches lack.

# %%
first, last = index.values()
results.add("cells", adata.n_obs, "== 1021")
results.add("pair_purity", min(purity.values()), ">= 0.85")
results.add("ilisi_gain", table.loc["X_imap", "iLISI"] - table.loc["X_pca", "iLISI"], ">= 0.02")
results.add("bio_conservation_change", table["Bio conservation"].diff().iloc[-1], ">= -0.05")
results.add("true_positive_gain", last["true_positive"] - first["true_positive"], ">= 0.15")
results.add("negative_after", last["negative"], "<= 0.05")
results.add("gene_gap_share", solution, "<= 0.9")
results.save()

# %%
versions_table()
