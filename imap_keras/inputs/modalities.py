"""Several modalities of the same cells: MuData, or a dictionary of AnnData."""

from collections.abc import Mapping

from anndata import AnnData

from .genes import check_unique_names, table_with_text_names


def parts_of(data, what: str = "data") -> dict[str, AnnData]:
    """AnnData by modality of a MuData or of a dictionary.

    Raises
    ------
    TypeError
        It is neither.

    Examples
    --------
    >>> import numpy as np
    >>> from anndata import AnnData
    >>> from imap_keras.inputs.modalities import parts_of
    >>> list(parts_of({"rna": AnnData(np.ones((4, 3)))}))
    ['rna']
    """
    parts = getattr(data, "mod", data)  # MuData keeps its AnnData by modality in .mod
    if not isinstance(parts, Mapping) or not len(parts):
        raise TypeError(
            f"{what} is a {type(data).__name__}; hand in a MuData, or a dictionary of AnnData by "
            'modality such as {"rna": adata, "methylation": other}.'
        )
    return {str(name): parts[name] for name in parts}


def same_cells(parts: Mapping[str, AnnData], what: str = "data", mend: str = "") -> list[str]:
    """Names of the cells, in the order of the first modality, if all modalities hold the same ones.

    Parameters
    ----------
    parts
        AnnData by modality.
    what, mend
        What the data are called, and what else to do, for errors.

    Raises
    ------
    ValueError
        A modality holds other cells, or names are used twice.

    Examples
    --------
    >>> import numpy as np
    >>> from anndata import AnnData
    >>> from imap_keras.inputs.modalities import same_cells
    >>> same_cells({"rna": AnnData(np.ones((2, 3))), "atac": AnnData(np.ones((2, 1)))})
    ['0', '1']
    """
    names = {name: table_with_text_names(adata.obs).index for name, adata in parts.items()}
    first, cells = next(iter(names.items()))
    for name, adata in parts.items():
        check_unique_names(adata)
        other = set(names[name]) ^ set(cells)
        if other:
            raise ValueError(
                f"Modality {name!r} of {what} holds other cells than {first!r} ({adata.n_obs} and "
                f"{len(cells)}; {len(other)} are in one of them only, such as "
                f"{min(other)!r}). "
                f"Keep the cells that all have, adata[names].copy(){mend}."
            )
    return cells.tolist()
