"""How well batches mix and types stay, and what correction did to the cells of a batch."""

from .index import imap_index, index_ceiling, pair_purity
from .labels import partner_rank, predictability
from .scib import scib_neighbors, scib_table
from .structure import correlation_agreement, differential_agreement, neighbor_agreement

__all__ = [
    "correlation_agreement",
    "differential_agreement",
    "imap_index",
    "index_ceiling",
    "neighbor_agreement",
    "pair_purity",
    "partner_rank",
    "predictability",
    "scib_neighbors",
    "scib_table",
]
