"""A figure as a notebook shows it: with alternative text for those who cannot see it."""

from pathlib import Path


class Picture:
    """A saved figure that a notebook shows, its alternative text in the output's metadata.

    The book and nbconvert's classic template write it into the page (``<img alt="...">``); JupyterLab
    4.6 does not.

    Parameters
    ----------
    path
        The ``.png`` file.
    alt
        What there is to see, in a sentence or two.

    Examples
    --------
    >>> from pathlib import Path
    >>> from imap_keras.course.picture import Picture
    >>> Picture(Path("figures/00_index.png"), "Bars: most cells are true positive.")
    <00_index: Bars: most cells are true positive.>
    """

    def __init__(self, path: Path, alt: str | None = None):
        self.path, self.alt = path, alt

    def __repr__(self) -> str:
        return f"<{self.path.stem}: {self.alt or 'no description'}>"

    def _repr_png_(self) -> tuple[bytes, dict]:
        """The image and its metadata, as IPython asks for them."""
        return self.path.read_bytes(), {"alt": self.alt} if self.alt else {}
