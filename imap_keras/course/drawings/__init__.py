"""The course's drawings, made by code: each function takes nothing and returns a figure."""

from .methods import (
    mask_tasks,
    omics_network,
    reparameterisation,
    surgery,
    which_notebook,
)
from .stages import (
    generator_and_critic,
    merging_order,
    mixtures,
    mutual_pairs_and_walk,
    pipeline,
    slope_of_a_pair,
    stage_one,
)

__all__ = [
    "generator_and_critic",
    "mask_tasks",
    "merging_order",
    "mixtures",
    "mutual_pairs_and_walk",
    "omics_network",
    "pipeline",
    "reparameterisation",
    "slope_of_a_pair",
    "stage_one",
    "surgery",
    "which_notebook",
]
