"""How well batches mix and types stay, what correction did to a batch, and which types may talk."""

from .index import imap_index, index_ceiling, pair_purity
from .interactions import interaction_table
from .labels import partner_rank, predictability
from .scib import scib_neighbors, scib_table
from .structure import correlation_agreement, differential_agreement, neighbor_agreement

__all__ = [
    "correlation_agreement",
    "differential_agreement",
    "imap_index",
    "index_ceiling",
    "interaction_table",
    "neighbor_agreement",
    "pair_purity",
    "partner_rank",
    "predictability",
    "scib_neighbors",
    "scib_table",
]
