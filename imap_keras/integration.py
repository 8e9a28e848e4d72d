"""Both stages in one line."""

from collections.abc import Sequence

from anndata import AnnData

from .model import IMAP


def integrate(
    adata: AnnData,
    batch_key: str = "batch",
    order: Sequence[str] | None = None,
    verbose: int = 1,
    **hyperparameters,
) -> AnnData:
    """Integrate log-normalised batches in one line: ``IMAP(...).fit_transform(adata)``.

    Parameters
    ----------
    adata, batch_key, order, verbose
        As for :meth:`IMAP.fit`.
    hyperparameters
        As for :class:`IMAP`, `preset` included.

    Returns
    -------
    anndata.AnnData
        As :meth:`IMAP.transform` describes.

    Raises
    ------
    KeyError, ValueError, TypeError
        As :class:`IMAP` and :meth:`IMAP.fit`.

    Examples
    --------
    >>> import imap_keras
    >>> adata = imap_keras.preprocess(imap_keras.datasets.demo(), min_genes=50)  # doctest: +SKIP
    >>> adata = imap_keras.integrate(adata, batch_key="batch")  # doctest: +SKIP
    """
    return IMAP(**hyperparameters).fit_transform(adata, batch_key, order, verbose)
