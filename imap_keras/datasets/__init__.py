"""Data to learn and to test with: simulated, embedded, and real ones fetched by address and hash."""

from ._demo import demo
from ._download import cache_folder, fetch, registry
from ._inclust_plus import merfish_scrna, surface_protein
from ._interactions import simulate_interactions
from ._load import load
from ._manifold import simulate_file, simulate_manifold
from ._mixology import sc_mixology
from ._modalities import simulate_modalities
from ._omics import cbmc_protein, scgem, snareseq
from ._simulate import simulate

__all__ = [
    "cache_folder",
    "cbmc_protein",
    "demo",
    "fetch",
    "load",
    "merfish_scrna",
    "registry",
    "sc_mixology",
    "scgem",
    "simulate",
    "simulate_file",
    "simulate_interactions",
    "simulate_manifold",
    "simulate_modalities",
    "snareseq",
    "surface_protein",
]
