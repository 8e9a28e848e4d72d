"""Brain regions of two species in one space, by classifiers of one (TransBrain, Nature Methods 2025).

A classifier learns to name the human region a cell comes from. Its last hidden layer embeds the average
expression of human and of mouse regions, and the correlation of the embeddings maps homologous regions
across species. Cortex and subcortex have a network each ("detached"). ``python -m imap_keras.regions``
runs it on files. Paper: https://doi.org/10.1038/s41592-025-02961-3
"""

from .atlas import PARTS, homologous_pairs, published_map, region_table
from .graph import BrainGraph, brain_graph, similarity
from .homology import (
    chance_rank,
    check_features,
    check_pairs,
    correlation_map,
    mean_rank,
    pair_ranks,
    region_averages,
    shuffled_labels,
    standardize,
    unit_rows,
)
from .hyperparameters import Hyperparameters
from .independent import confusion_matrix, independent_test
from .model import RegionClassifier
from .network import build_region_classifier, donors_to_hold, hold_out_donors, step_schedule
from .phenotypes import carry, map_phenotype, walk_vectors
from .repeats import run_repeats
from .simulate import region_latents, simulate_connectomes, simulate_species
from .walks import WalkParameters, node2vec_walks, node_vectors

__all__ = [
    "PARTS",
    "BrainGraph",
    "Hyperparameters",
    "RegionClassifier",
    "WalkParameters",
    "brain_graph",
    "build_region_classifier",
    "carry",
    "chance_rank",
    "check_features",
    "check_pairs",
    "confusion_matrix",
    "correlation_map",
    "donors_to_hold",
    "hold_out_donors",
    "homologous_pairs",
    "independent_test",
    "map_phenotype",
    "mean_rank",
    "node2vec_walks",
    "node_vectors",
    "pair_ranks",
    "published_map",
    "region_averages",
    "region_latents",
    "region_table",
    "run_repeats",
    "shuffled_labels",
    "similarity",
    "simulate_connectomes",
    "simulate_species",
    "standardize",
    "step_schedule",
    "unit_rows",
    "walk_vectors",
]
