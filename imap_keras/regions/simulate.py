"""Two species with the real region names: latent regions, species' genes, donors, nuisance, noise."""

import numpy as np
import pandas as pd
from anndata import AnnData

from .atlas import SPECIES, homologous_pairs, region_table

GENES = {"cortex": 4542, "subcortex": 5063, "brain": 5063}
N_LATENT, N_NUISANCE = 40, 8
# Standard deviations of the hierarchy's levels; what two homologous regions differ by.
LOBE, GROUP, REGION, EVOLUTION = 1.0, 0.7, 0.8, 0.3
SIGNAL, NUISANCE, DONOR, NOISE = 0.7, 1.8, 0.3, 1.0
PIECE, CELL = 1.0, 1.3  # nuisance of a piece of tissue (a donor's region) and of a cell
PART_OFFSET = 3.0  # cortex against subcortex


def simulate_species(
    part: str = "cortex",
    n_cells: int = 20_000,
    n_genes: int | None = None,
    n_donors: int = 10,
    n_mouse_cells: int = 1000,
    n_mice: int = 3,
    conservation: float = 0.5,
    cell_variation: float = 0.0,
    seed: int = 0,
) -> tuple[AnnData, AnnData]:
    """Simulate the expression of human and mouse regions, homologues known.

    A region's latent vector is its lobe's, plus its group's, plus its own. A mouse region that has
    human homologues carries the mean of their latent vectors, a little changed; the other mouse regions
    share the lobe only. Genes read the latent vector with weights (loadings) of their species and part;
    `conservation` is the correlation of a human and a mouse loading. On top come, with the same
    loadings in both species, nuisance factors that vary from piece to piece of tissue and from cell to
    cell (composition, quality); then donors, noise and, between cortex and subcortex, an offset.

    Parameters
    ----------
    part
        ``"cortex"`` (105 human regions), ``"subcortex"`` (22) or ``"brain"`` (both, half of the cells
        each).
    n_cells, n_mouse_cells
        Human and mouse cells, spread evenly over the regions and donors of a part; rounded up so that
        every donor has a cell in every region.
    n_genes
        Default: the paper's 4,542 (cortex) or 5,063.
    n_donors, n_mice
        Human donors and mice.
    conservation
        Correlation of the two species' loadings, 0 to 1.
    cell_variation
        Standard deviation of a cell's own latent vector around its region's (a region's own part has
        0.8). It makes regions overlap, however many genes are measured.
    seed
        The same seed gives the same data.

    Returns
    -------
    human, mouse : anndata.AnnData
        ``X`` (float32, log-normalised scale, 0 or more), ``obs`` with region, part and donor.

    Raises
    ------
    ValueError
        Unknown part, or a number out of range.

    Examples
    --------
    >>> from imap_keras.regions import simulate_species
    >>> human, mouse = simulate_species("subcortex", n_cells=220, n_genes=30, n_donors=5)
    >>> human.shape, mouse.obs["region"].nunique()
    ((220, 30), 29)
    """
    human, mouse = (region_table(part, species) for species in ("human", "mouse"))
    n_genes = GENES[part] if n_genes is None else n_genes
    for name, value in (
        ("n_cells", n_cells),
        ("n_genes", n_genes),
        ("n_donors", n_donors),
        ("n_mouse_cells", n_mouse_cells),
        ("n_mice", n_mice),
    ):
        if value < 1:
            raise ValueError(f"{name}={value} must be a whole number of at least 1.")
    if not 0 <= conservation <= 1:
        raise ValueError(f"conservation={conservation} must lie between 0 and 1.")
    if cell_variation < 0:
        raise ValueError(f"cell_variation={cell_variation} must be 0 or more.")
    rng = np.random.default_rng(seed)

    latent = _latent_regions(part, human, mouse, rng)
    own = np.sqrt(1 - conservation**2)
    nuisance = rng.normal(0, NUISANCE / np.sqrt(N_NUISANCE), (N_NUISANCE, n_genes))
    loadings, offset = {}, {}
    for name in dict.fromkeys(human["part"]):
        draws = rng.normal(0, SIGNAL / np.sqrt(N_LATENT), (2, N_LATENT, n_genes))
        away = rng.normal(0, PART_OFFSET if part == "brain" else 0, (2, n_genes))
        loadings["human", name], offset["human", name] = draws[0], away[0]
        loadings["mouse", name] = conservation * draws[0] + own * draws[1]
        offset["mouse", name] = conservation * away[0] + own * away[1]

    results = []
    for species, table, cells, donors in (
        ("human", human, n_cells, n_donors),
        ("mouse", mouse, n_mouse_cells, n_mice),
    ):
        expected = np.array(
            [
                latent[species, region] @ loadings[species, name] + offset[species, name]
                for name, region in zip(table["part"], table["region"], strict=True)
            ]
        )
        expected += rng.uniform(3, 9, n_genes)  # the gene's level in this species
        adata = _draw_cells(table, expected, nuisance, cells, donors, species, rng)
        for name in dict.fromkeys(table["part"]) if cell_variation else ():
            rows = np.flatnonzero(adata.obs["part"] == name)
            own_vectors = rng.normal(0, cell_variation, (len(rows), N_LATENT)).astype("float32")
            adata.X[rows] += own_vectors @ loadings[species, name].astype("float32")
        np.maximum(adata.X, 0, out=adata.X)
        results.append(adata)
    return results[0], results[1]


def region_latents(part: str = "cortex", seed: int = 0) -> dict[str, pd.DataFrame]:
    """The hidden state of each region in :func:`simulate_species` of the same part and seed.

    Returns
    -------
    dict of pandas.DataFrame
        ``"human"`` and ``"mouse"``: regions x 40 hidden numbers, with the same meaning in both.

    Raises
    ------
    ValueError
        Unknown part.

    Examples
    --------
    >>> from imap_keras.regions import region_latents
    >>> {name: table.shape for name, table in region_latents("subcortex").items()}
    {'human': (22, 40), 'mouse': (29, 40)}
    """
    tables = {species: region_table(part, species) for species in SPECIES}
    latent = _latent_regions(part, *tables.values(), np.random.default_rng(seed))
    return {
        species: pd.DataFrame([latent[species, name] for name in table["region"]], table["region"])
        for species, table in tables.items()
    }


def simulate_connectomes(
    part: str = "cortex", noise: float = 0.1, sharpness: float = 3.0, seed: int = 0
) -> dict[str, pd.DataFrame]:
    """Wire the regions of :func:`simulate_species`: those of like hidden states more strongly.

    The weight of two regions of a species is the correlation of their hidden states plus noise, cut off
    at 0 and raised to a power. That wiring follows expression is an assumption.

    Parameters
    ----------
    part, seed
        As in :func:`simulate_species`.
    noise
        Standard deviation of what is added to a correlation.
    sharpness
        The power: the higher, the fewer strong edges.

    Returns
    -------
    dict of pandas.DataFrame
        ``"human"`` and ``"mouse"``: regions x regions, symmetric, 0 on the diagonal.

    Raises
    ------
    ValueError
        Unknown part, or a number out of range.

    Examples
    --------
    >>> from imap_keras.regions import simulate_connectomes
    >>> {name: table.shape for name, table in simulate_connectomes("subcortex").items()}
    {'human': (22, 22), 'mouse': (29, 29)}
    """
    for name, value in (("noise", noise), ("sharpness", sharpness)):
        if not value >= 0:
            raise ValueError(f"{name}={value} must be 0 or more.")
    rng, wires = np.random.default_rng((seed, 1)), {}
    for species, table in region_latents(part, seed).items():
        weights = np.corrcoef(table)
        drawn = rng.normal(0, noise, weights.shape)
        weights = np.clip(weights + (drawn + drawn.T) / np.sqrt(2), 0, None) ** sharpness
        np.fill_diagonal(weights, 0)
        wires[species] = pd.DataFrame(weights, table.index, table.index)
    return wires


def _latent_regions(part, human, mouse, rng) -> dict:
    """Latent vector of each (species, region)."""
    lobes = {name: rng.normal(0, LOBE, N_LATENT) for name in dict.fromkeys(human["lobe"])}
    latent = {}
    for species, table in (("human", human), ("mouse", mouse)):
        groups = {name: rng.normal(0, GROUP, N_LATENT) for name in dict.fromkeys(table["group"])}
        for lobe, group, region in table[["lobe", "group", "region"]].itertuples(index=False):
            latent[species, region] = lobes[lobe] + groups[group] + rng.normal(0, REGION, N_LATENT)
    for region, pairs in homologous_pairs(part).groupby("mouse_region", sort=False):
        shared = np.mean([latent["human", name] for name in pairs["human_region"]], axis=0)
        latent["mouse", region] = shared + rng.normal(0, EVOLUTION, N_LATENT)
    return latent


def _draw_cells(table, expected, nuisance, n_cells, n_donors, species, rng) -> AnnData:
    """Cells around the expected expression of their regions (regions x genes), sorted by region."""
    n_genes, pieces = expected.shape[1], []
    parts = table["part"].to_numpy()
    for name in dict.fromkeys(parts):  # a piece of tissue: one region of one donor
        members = np.flatnonzero(parts == name)
        n_pieces = len(members) * n_donors
        n_part = max(n_cells // len(set(parts)), n_pieces)
        pieces.append(members[0] * n_donors + np.sort(np.arange(n_part) % n_pieces))
    piece = np.concatenate(pieces)
    region, donor = piece // n_donors, piece % n_donors

    state = rng.normal(0, PIECE, (len(table) * n_donors, N_NUISANCE))[piece]
    state += rng.normal(0, CELL, (len(piece), N_NUISANCE))
    values = NOISE * rng.standard_normal((len(piece), n_genes), dtype="float32")
    values += (state @ nuisance).astype("float32")
    values += expected[region].astype("float32")
    values += rng.normal(0, DONOR, (n_donors, n_genes))[donor].astype("float32")
    names = [f"{'donor' if species == 'human' else 'mouse'}_{i}" for i in range(n_donors)]
    obs = pd.DataFrame(
        {
            "region": pd.Categorical.from_codes(region, table["region"].tolist()),
            "part": parts[region],
            "donor": pd.Categorical.from_codes(donor, names),
        },
        index=[f"{species}_{i}" for i in range(len(piece))],
    )
    var = pd.DataFrame(index=[f"gene_{i}" for i in range(n_genes)])
    return AnnData(values, obs=obs, var=var)
