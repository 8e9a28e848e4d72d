"""Parameters of the notebooks: what they declare, and what the command line gives."""

import ast
from pathlib import Path

import nbformat


def declared_parameters(path: Path) -> dict[str, object]:
    """Names and defaults that the notebook's cell tagged "parameters" assigns.

    Examples
    --------
    >>> from pathlib import Path
    >>> from imap_keras.course.parameters import declared_parameters
    >>> declared_parameters(Path("notebooks/00_tour.ipynb"))["dataset"]
    'demo'
    """
    declared = {}
    for cell in nbformat.read(path, as_version=4).cells:
        if "parameters" in cell.metadata.get("tags", []):
            for statement in ast.parse(cell.source).body:
                if isinstance(statement, ast.Assign):
                    default = ast.literal_eval(statement.value)
                    declared |= {target.id: default for target in statement.targets}
    return declared


def value_of(text: str, default: object) -> object:
    """Read a parameter as Python would (3, 0.5, True); as text where its default is text.

    Examples
    --------
    >>> from imap_keras.course.parameters import value_of
    >>> value_of("10", 3), value_of("10", "batch"), value_of("true", False)
    (10, '10', True)
    """
    if isinstance(default, str):
        return text
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return {"true": True, "false": False}.get(text.lower(), text)


def read_parameters(paths: list[Path], texts: dict[str, str]) -> dict[Path, dict]:
    """The parameters of each notebook, of the type that its default has.

    papermill itself only warns of a name that no notebook declares, and goes on with the default: a
    quiet way to run the wrong thing.

    Raises
    ------
    ValueError
        No notebook declares a parameter; names those that exist.

    Examples
    --------
    >>> from imap_keras.course.parameters import read_parameters
    >>> read_parameters([], {})
    {}
    """
    declared = {path: declared_parameters(path) for path in paths}
    known = {name for names in declared.values() for name in names}
    for name in texts:
        if name == "output_dir":
            raise ValueError("output_dir is set by --output-dir.")
        if name not in known:
            raise ValueError(
                f"No notebook has a parameter {name!r}; there are {', '.join(sorted(known))}."
            )
    return {
        path: {name: value_of(text, names[name]) for name, text in texts.items() if name in names}
        for path, names in declared.items()
    }
