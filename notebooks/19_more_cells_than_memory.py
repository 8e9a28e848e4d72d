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
# # 19 · More cells than memory
#
# **You will learn** why training does not need all cells at once, what is read from disk and when, what that does to
# memory, and how several processes share the work without changing a number. You will write the moments of a file
# that is read block by block. **Time** on two cores: about 3 minutes.
#
# [18 · disease](18_disease_on_a_healthy_reference.ipynb) ← · needs [06 · several batches](06_several_batches.ipynb) ·
# [glossary](glossary.md) · [notation](notation.md)

# %% tags=["parameters"]
seed = 0
fast = False
output_dir = "../build/course"

# %%
import os
import shutil
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

# %%
import anndata
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from distributed import Client, LocalCluster
from scipy import sparse

# %% tags=["plumbing"]
from imap_keras import IMAP, plots
from imap_keras.course import Check, Results, handover, versions_table
from imap_keras.course.watch import watch
from imap_keras.inputs.cells import BLOCK, open_cells
from imap_keras.inputs.writing import result_store

settings = handover.Settings("simulated", seed, None, output_dir, fast)
results = Results("19_more_cells_than_memory", output_dir, settings.as_dict())
check = Check("19_more_cells_than_memory", output_dir)

# %% [markdown]
# ## Cells on disk
#
# Log-normalised cells of three batches are simulated block by block and written into a zarr store: a folder of chunks,
# each a file of its own. At no time do all cells exist in memory.

# %%
rng = np.random.default_rng(seed)
n_cells, n_genes, n_batches, n_types = (20_500, 60, 3, 4) if fast else (50_000, 1_000, 3, 6)
chance = np.clip(0.2 * rng.lognormal(0, 0.8, (n_types, n_genes)), 0, 0.9)
effect = rng.lognormal(0, 0.25, (n_batches, n_genes))
batch, kind = (rng.integers(n, size=n_cells) for n in (n_batches, n_types))
obs = pd.DataFrame({"batch": batch.astype(str), "cell_type": kind.astype(str)})
obs.index = np.char.add("cell_", np.arange(n_cells).astype(str))
var = pd.DataFrame(index=[f"gene_{number}" for number in range(n_genes)])


# %%
def block_of(rows):
    """Cells x genes: which genes are seen, by type and batch, and how strongly."""
    chances = chance[kind[rows]] * effect[batch[rows]]
    seen = sparse.csr_matrix(rng.random(chances.shape) < chances, dtype="float32")
    seen.data = (1 + rng.gamma(4, 0.25, seen.nnz)).astype("float32")
    return seen


# %%
folder = Path(output_dir) / "19_cells"
shutil.rmtree(folder, ignore_errors=True)
folder.mkdir(parents=True)
with result_store(folder / "cells.zarr", n_cells, needed=4 * n_cells * n_genes) as file:
    file.describe(obs, var, {})
    for start in range(0, n_cells, BLOCK):
        file.put("X", start, block_of(slice(start, min(start + BLOCK, n_cells))))
cells = open_cells(folder / "cells.zarr")
print(f"{len(cells):,} cells x {cells.n_vars:,} genes; in memory: {cells.in_memory}")

# %% [markdown]
# ## What training reads
#
# Stage I draws some thousand cells of each batch, stage II looks for pairs among some thousand more. However many
# cells there are, so many are enough. But three things need *all* cells: the check of the values, the spread of the
# genes (for the scale and the order of the batches), and the result. Each works on a block at a time.
#
# The same fit and transform run twice, each in a process of its own that looks at its memory twenty times a second.
# Once all cells are read first, and the result, corrected expression of all genes included, stays in memory. Once
# cells are read from the store, and the result goes into another.
#
# **Predict.** Which step will hold the most memory in either?

# %%
guess = None  # for example ("transform", "stage I")

# %%
short = {"latent_dim": 32, "hidden": (128,), "critic_hidden": (64,), "n_samples": 1500, "seed": seed}
short |= {"stage1_epochs": 5, "stage2_epochs": 5}
if fast:
    short |= {"n_samples": 200, "search": "exact", "pool_size": 500, "walk_length": 3}
    short |= {"stage1_epochs": 1, "stage1_steps": 4}
    short |= {"stage2_epochs": 1, "stage2_steps": 6, "critic_steps": 3}

# %%
ways = {"in memory": True, "from the store": False}


def watched(way):
    """One of the two, in a process of its own."""
    return watch(folder / "cells.zarr", folder / way.replace(" ", "_"), ways[way], **short)


with ThreadPoolExecutor(2 if fast else 1) as threads:
    seen = dict(zip(ways, threads.map(watched, ways)))


# %%
def highest(found):
    """MB beyond the libraries that each step held at most."""
    begins = pd.Series(found.steps).iloc[:-1]
    step = begins.index[np.searchsorted(begins, found.memory["seconds"]) - 1]
    return (found.memory.groupby(step)["bytes"].max() / 1e6).reindex(begins.index)


peaks = pd.DataFrame({way: highest(found) for way, found in seen.items()})
most = peaks.idxmax()
print(f"your guess: {guess}; most memory: {most.to_dict()}")
peaks.round(0)

# %%
figure, axes = plt.subplots(1, 2, figsize=(10, 3.4), sharey=True, layout="constrained")
for axis, (way, found) in zip(axes, seen.items()):
    axis.plot(found.memory["seconds"], found.memory["bytes"] / 1e6, color=plots.COLORS[0])
    axis.set(title=way, xlabel="seconds", ylabel="MB beyond the libraries")
    axis.set_ylim(0, 1.3 * peaks.max().max())
    for number, (step, begin) in enumerate(list(found.steps.items())[1:-1]):
        axis.axvline(begin, color="0.7", lw=1)
        height = (0.98, 0.9)[number % 2]
        axis.text(begin, height, f" {step}", transform=axis.get_xaxis_transform(), fontsize=8, va="top")
plt.close(figure)

# %%
alt = (
    "Two panels of memory over seconds with the steps marked. In memory it climbs to its highest in "
    "transform; from the store it is highest when components are made and falls in transform."
)
settings.save_figure(figure, "19_memory", alt)

# %% [markdown] claims=["transform_is_highest_in_memory", "transform_ratio", "highest_gap"]
# **What to see:**
#
# - With all cells in memory, transform holds the most: cells and corrected expression lie there together.
# - From the store, transform holds less than three quarters of that, and less than the highest step before it.
# - Not all is saved: both hold networks, gradients, and the table that components are computed of, which has 10,000
#   cells however many there are. What transform holds in memory grows with the cells.

# %% [markdown]
# ## What is read when
#
# Each line below is one read from disk: the rows it covers, at the second it was made.

# %%
figure, axes = plt.subplots(1, 2, figsize=(10, 3.4), sharey=True, layout="constrained")
for axis, (way, found) in zip(axes, seen.items()):
    axis.vlines(found.reads["seconds"], found.reads["start"], found.reads["stop"], lw=3)
    end = 1.06 * found.steps["end"]
    axis.set(title=way, xlabel="seconds", ylabel="row of the file", xlim=(0, end))
    for number, (step, begin) in enumerate(list(found.steps.items())[1:-1]):
        axis.axvline(begin, color="0.7", lw=1)
        height = (1.07, 1.01)[number % 2] * n_cells
        axis.text(begin, height, f" {step}", fontsize=8, va="bottom")
    axis.set_ylim(0, 1.2 * n_cells)
plt.close(figure)

# %%
alt = (
    "Two panels of rows against seconds. In memory one read covers all rows at the start. From the store "
    "two staircases of short reads, one at the start and one in transform, and none during training."
)
settings.save_figure(figure, "19_reads", alt)

# %%
reads, training = seen["from the store"].reads, ("stage I", "stage II")
begins = pd.Series(seen["from the store"].steps)
ends = begins.shift(-1)
passes = (reads["stop"] - reads["start"]).sum() / n_cells
in_training = sum(reads["seconds"].between(begins[step], ends[step]).sum() for step in training)
largest = (reads["stop"] - reads["start"]).max()
print(f"{passes:.1f} passes over the file, {in_training} reads in training, {largest} rows at most")

# %% [markdown] claims=["passes_over_the_file", "reads_in_training"]
# **What to see:**
#
# - Every row is read twice: once before training, once in transform.
# - While networks train nothing is read: they see the pool that the first pass kept.
# - Reads are long and in the order of the file. Single rows at random would cost a chunk each.

# %% [markdown]
# ## The same numbers
#
# The order of the rows, the seeds and the sums are the same in both, so the results are.

# %%
in_memory = np.load(folder / "in_memory" / "X_imap.npy")
alone = anndata.read_zarr(folder / "from_the_store" / "result.zarr")
gap = float(np.abs(alone.obsm["X_imap"] - in_memory).max())
print(f"largest difference of components: {gap:.1e}; they reach {np.abs(in_memory).max():.2f}")

# %% [markdown]
# ## Two workers
#
# Transform asks nothing of one block that it would need for another. So blocks can go to other processes, on this
# machine or on a cluster. Here Dask starts two workers. Each opens the store by its path, loads the model once, takes
# a block, carries it, and writes its own chunks of the result: no two write to one file.
#
# While they are at it, one of them is killed. Its block goes to the other.


# %%
def kill(pid, done):
    """End a process as soon as a chunk of the result lies on disk: 0.0, or c/0/0 in newer stores."""
    while not done.is_set():
        if any(p.name[0].isdigit() for p in folder.glob("writing-*.part/obsm/X_imap/**/*")):
            os.kill(pid, signal.SIGKILL)
            return
        time.sleep(0.005)


# %%
options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None, "memory_limit": 0}
model, done = IMAP.load(folder / "from_the_store" / "model"), threading.Event()
everything = {"keep": ("X_imap", "X_imap_content", "imap"), "verbose": 0}
with LocalCluster(**options) as cluster, Client(cluster) as client:
    before = set(client.run(os.getpid).values())
    killer = threading.Thread(target=kill, args=(min(before), done))
    killer.start()
    model.transform(folder / "cells.zarr", out=folder / "two.zarr", client=client, **everything)
    done.set()
    killer.join()
    lost = len(before - set(client.run(os.getpid).values()))

# %%
together = anndata.read_zarr(folder / "two.zarr")
differ = max(
    float(np.abs(together.obsm["X_imap"] - alone.obsm["X_imap"]).max()),
    float(np.abs(together.obsm["X_imap_content"] - alone.obsm["X_imap_content"]).max()),
    float(np.abs(together.layers["imap"] - alone.layers["imap"]).max()),
)
print(f"{lost} worker lost; largest difference to one process: {differ:.1e}")

# %% [markdown] claims=["workers_lost", "two_workers_gap", "memory_or_store_gap"]
# **What to see:** one worker was lost, and no number is another, beyond the last digit of a float32: not for that, and not
# for where the cells lay.
#
# Training does not share itself so easily. Stage II can, a query batch a worker, where each batch is paired with the
# first alone (`IMAP(incremental=False).fit(path, client=client)`). Where each merged batch joins the anchor, the next
# one has to wait for it.

# %% [markdown]
# ## Exercises
#
# Write between the marks; the cell after it says what it thinks, in green or in red.
#
# **1. Read.** 1,000,000 cells x 2,000 genes, 8 % of the values not 0. How many GB (1e9 bytes) are they as a dense table of
# float32, and how many as CSR, which keeps a float32 value and an int32 column for each value that is not 0? In the
# reason say when CSR is the larger one.

# %% tags=["exercise"] exercise="nb19_bytes" level="a" points=1 minutes=4
numbers, reason = None, ""  # two numbers
### BEGIN SOLUTION
numbers = (8.0, 1.28)
reason = "CSR takes eight bytes for a value and the table four: from half of the values on."
### END SOLUTION

# %% tags=["check"]
check("nb19_bytes", numbers, reason)

# %% [markdown]
# **2. Write.** Write `joined(n, mean, squares, block)`: `n` rows were seen, with their `mean` by gene and their `squares`, the
# sum of squared distances from that mean. Take in the rows of another dense `block` and return the three for all
# rows, without looking at the old rows again.


# %% tags=["exercise"] exercise="nb19_moments" level="b" points=2 minutes=12
def joined(n, mean, squares, block):
    ### BEGIN SOLUTION
    m, own = len(block), block.mean(axis=0)
    off, share = own - mean, m / (n + m)
    squares = squares + ((block - own) ** 2).sum(axis=0) + n * share * off**2
    return n + m, mean + share * off, squares
    ### END SOLUTION


# %% tags=["check"]
check("nb19_moments", joined)

# %% [markdown]
# **3. Discuss.** An atlas of 10 million cells lies on a disk that 40 machines see. You want corrected expression of all
# cells. What do you run where, what do you write, and how would you know that it is right?

# %% [markdown] tags=["rubric"] exercise="nb19_atlas" level="c" points=4 minutes=15
# - 1 point for what does not need the 40: training reads a sample, one machine is enough.
# - 1 point for blocks and chunks: a task reads neighbouring rows and is the only one to write its chunks.
# - 1 point for what is kept: components instead of expression, or float16, and room on the disk reckoned before.
# - 1 point for a check: some blocks again in one process give the same numbers; a lost worker leaves no gap.

# %%
check.table()

# %% [markdown] claims=["two_workers_gap", "memory_or_store_gap", "passes_over_the_file"]
# ## What was learnt
#
# Training needs a sample of the cells, and all of them are needed only for sums and for the result: both go block by
# block. So memory depends on the block and the pool, and cells may be as many as the disk holds. Blocks that do not
# ask each other anything can be shared among processes, and where each sum keeps its order and each seed its place,
# the numbers stay the same, up to the last digit.

# %% tags=["plumbing"]
ratio = peaks["from the store"] / peaks["in memory"]
results.add("peak_ratio", peaks["from the store"].max() / peaks["in memory"].max(), "<= 2")
results.add("passes_over_the_file", passes, "<= 2.1")
results.add("reads_in_training", in_training, "<= 0")
results.add("largest_read", largest, f"<= {BLOCK}")
results.add("memory_or_store_gap", gap, "<= 1e-5")
results.add("two_workers_gap", differ, "<= 1e-5")
results.add("workers_lost", lost, ">= 0" if fast else "== 1")

# %% tags=["plumbing"]
if not fast:  # of few genes all of this is smaller than the libraries' own ups and downs
    highest_step = peaks["in memory"].idxmax() == "transform"
    results.add("transform_is_highest_in_memory", int(highest_step), "== 1")
    results.add("transform_ratio", ratio["transform"], "<= 0.75")
    trained = peaks["from the store"].drop("transform").max()
    gap = peaks.loc["transform", "from the store"] - trained
    results.add("highest_gap", gap, "<= 0", tolerance=0.5)
shutil.rmtree(folder)
results.save()

# %% tags=["plumbing"]
versions_table()
