"""The region classifier in PyTorch: seconds an epoch; run by `regions.py` in its own environment.

    python regions_torch.py CELLS.npz

The file holds `cells` and `codes`, the widths `hidden`, and `settings`: dropout, batch size, learning
rate, weight decay. Prints the median of five epochs after one that does not count.
"""

import json
import sys
import time

import numpy as np
import torch
from torch import nn

EPOCHS = 5

with np.load(sys.argv[1]) as told:
    cells, codes = torch.from_numpy(told["cells"]), torch.from_numpy(told["codes"]).long()
    widths, (dropout, batch_size, rate, decay) = told["hidden"].tolist(), told["settings"].tolist()
torch.manual_seed(0)
torch.set_num_threads(2)
layers, width = [], cells.shape[1]
for units in widths:
    layers += [nn.Linear(width, units), nn.ReLU(), nn.Dropout(dropout)]
    width = units
network = nn.Sequential(*layers, nn.Linear(width, int(codes.max()) + 1))
optimizer = torch.optim.AdamW(network.parameters(), rate, weight_decay=decay)
rows = torch.utils.data.TensorDataset(cells, codes)
sampler = torch.utils.data.BatchSampler(
    torch.utils.data.RandomSampler(rows), int(batch_size), drop_last=False
)
# Whole minibatches are taken at once: row by row, as a plain DataLoader does it, takes far longer.
loader = torch.utils.data.DataLoader(rows, sampler=sampler, batch_size=None)
seconds = []
for _ in range(EPOCHS + 1):
    start = time.perf_counter()
    for some, of in loader:
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(some), of).backward()
        optimizer.step()
    seconds.append(time.perf_counter() - start)
print(json.dumps({"epoch": float(np.median(seconds[1:])), "stack": f"torch {torch.__version__}"}))
