"""Several files as one: values of one kind, columns that a file can keep, batches named by the file."""

import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
from anndata import AnnData

from ..imap.gene_choice import MARK
from ..inputs.expression import COUNTS, LOGGED
from ..inputs.recipe import COUNTED, FEWER_GENES, RECIPE, VALUES, recipe_of
from ..preprocessing.described import free_index
from .batches import named
from .finding import faults_in, first_of, is_prepared, places_of, with_counts
from .matrices import MATRIX
from .overlap import repeated_cells, shared_batches

NUMBERS = {"integer": "numbers", "floating": "numbers", "mixed-integer-float": "numbers"}
KINDS = NUMBERS | {"string": "text", "boolean": "true or false"}


def names_of(paths: Sequence[Path]) -> list[str]:
    """A name for each file: its own, with as many folders before it as make all names differ.

    Raises
    ------
    ValueError
        A file is named twice.

    Examples
    --------
    >>> from pathlib import Path
    >>> from imap_keras.command.joining import names_of
    >>> names_of([Path("one.h5ad"), Path("two.h5ad")])
    ['one', 'two']
    >>> names_of([Path("old/cells.h5ad"), Path("new/cells.h5ad")])
    ['old/cells', 'new/cells']
    """
    places = [Path(os.path.abspath(path)) for path in paths]
    real = [place.resolve() for place in places]
    for number, path in enumerate(paths):
        if real[number] in real[:number]:
            raise ValueError(f"{path} is named twice: its cells would be two batches. Name it once.")
    plain = [place if place.is_dir() else _without_suffix(place) for place in places]
    if len(set(plain)) < len(plain):  # cells.h5ad beside cells.loom
        plain = places
    depth, names = 0, []
    while len(set(names)) < len(plain):
        depth += 1
        names = ["/".join(place.parts[-depth:]) for place in plain]
    return names


def _without_suffix(place: Path) -> Path:
    """``GSM1_matrix.mtx.gz`` is GSM1; one without a prefix is named by its folder."""
    matrix = MATRIX.fullmatch(place.name)
    return place.parent / matrix[1].rstrip("_.-") if matrix else place.with_suffix("")


def joined(parts: dict[str, AnnData], batch_key: str, say: Callable = print) -> AnnData:
    """Several data sets as one: shared genes, batches named by the file where it names none.

    Batches, and cells, that occur in several files are warned of.

    Raises
    ------
    ValueError
        The files hold values of different kinds, were prepared differently, or share no gene.

    Examples
    --------
    >>> from imap_keras.command.joining import joined
    >>> from imap_keras.datasets import simulate
    >>> parts = {name: simulate(30, 20, n_batches=1, seed=i) for i, name in enumerate(("one", "two"))}
    >>> joined(parts, "donor", say=lambda sentence: None).obs["donor"].value_counts().to_dict()
    {'one': 30, 'two': 30}
    """
    for name, adata in parts.items():
        if batch_key not in adata.obs:
            adata.obs[batch_key] = name
    batches = {name: _batches_of(adata, batch_key) for name, adata in parts.items()}
    parts, kind = of_one_kind(parts, say)
    recorded = shared_recipe(parts) if kind == LOGGED else {}
    unite_columns(parts, say)
    together = anndata.concat(parts, join="inner", index_unique="-", merge="first")
    most = max(adata.n_vars for adata in parts.values())
    if not together.n_vars:
        first, second = list(parts.values())[:2]
        raise ValueError(
            f"The files share no gene: one has {list(first.var_names[:3])} ..., another "
            f"{list(second.var_names[:3])} .... Name genes alike in all files."
        )
    for column in together.obs.select_dtypes("object"):  # numbers and categories of numbers
        together.obs[column] = together.obs[column].infer_objects()
    for table in (together.obs, together.var):
        free_index(table)
        make_fractions_plain(table)
    marks = [adata.var[MARK] for adata in parts.values() if MARK in adata.var]
    if marks and kind == LOGGED:  # as flavor "per_batch": variable in one file is variable
        together.var[MARK] = np.any([mark[together.var_names].isin([True]) for mark in marks], axis=0)
    together.uns |= recorded
    left = sorted({str(c) for adata in parts.values() for c in adata.obs} - set(together.obs))
    if left:
        say(f"Not in all files, so left out of obs: {', '.join(left)}.")
    say(
        f"Joined {len(parts)} files: {together.n_obs:,} cells, {together.n_vars:,} shared genes of at "
        f"most {most:,}; batches are {named(sorted(_batches_of(together, batch_key)))}."
    )
    names = [adata.obs_names for adata in parts.values()]
    for doubt in (shared_batches(batches, batch_key), repeated_cells(together, names)):
        if doubt:
            warnings.warn(doubt, stacklevel=2)
    return together


def _batches_of(adata: AnnData, batch_key: str) -> set[str]:
    return set(adata.obs[batch_key].dropna().astype(str))


def of_one_kind(parts: dict[str, AnnData], say: Callable = print) -> tuple[dict[str, AnnData], str]:
    """The same cells with values of one kind in the same place, and which kind: counts if all have any.

    Raises
    ------
    ValueError
        Names files that cannot be joined, and what they hold.

    Examples
    --------
    >>> import scanpy
    >>> from imap_keras.command.joining import of_one_kind
    >>> from imap_keras.datasets import simulate
    >>> counts, scanpys = simulate(n_cells=30, n_genes=20), simulate(n_cells=30, n_genes=20)
    >>> del counts.layers["counts"]
    >>> scanpy.pp.log1p(scanpys)
    >>> parts, kind = of_one_kind({"one": counts, "two": scanpys})
    >>> kind, float(abs(parts["two"].X - counts.X).max())
    ('counts', 0.0)
    """
    made = [name for name, adata in parts.items() if is_prepared(adata)]
    if len(made) == len(parts):
        return parts, LOGGED
    if made:
        other = next(name for name in parts if name not in made)
        raise ValueError(
            f"preprocess made {made[0]!r}, not {other!r}: the first has counts of chosen genes only. "
            f"Give the file that {made[0]!r} was made from, or preprocess all alike."
        )
    places = {name: places_of(adata) for name, adata in parts.items()}
    counts, logged = (
        {name: first_of(of_file, kind) for name, of_file in places.items()} for kind in (COUNTS, LOGGED)
    )
    found = counts if all(counts.values()) else logged
    if not all(found.values()):
        said = "; ".join(
            f"{name!r}: {_held(counts[name]) or _held(logged[name]) or faults_in(adata)[0]}"
            for name, adata in parts.items()
        )
        raise ValueError(
            f"Neither counts nor log-normalised values are in all files ({said}). Put counts into X or "
            "layers['counts'] of each and write them again."
        )
    without = [name for name, of_file in counts.items() if of_file is None]
    if without and len(without) < len(parts):
        say(f"{without[0]!r} holds no counts, so the log-normalised values of all files are joined.")
    same = {place.where for place in found.values()}
    # Else X would hold counts of one file and log values of another beside the layer that all have.
    alike = len({of_file.get("X") for of_file in places.values()}) == 1
    if len(same) > 1 or same == {"raw"} or not alike:
        parts = {name: with_counts(adata, found[name]) for name, adata in parts.items()}
    return parts, COUNTS if found is counts else LOGGED


def _held(found) -> str:
    return f"{found.kind} in {found.where}" if found else ""


def shared_recipe(parts: dict[str, AnnData]) -> dict:
    """What ``uns`` of all files records alike of how their log-normalised values were made.

    Raises
    ------
    ValueError
        They record different preparations; names files and what differs.

    Examples
    --------
    >>> import imap_keras
    >>> from imap_keras.command.joining import shared_recipe
    >>> cells = imap_keras.datasets.simulate(n_cells=60, n_genes=40)
    >>> parts = {n: imap_keras.preprocess(cells, min_genes=n, verbose=0) for n in (4, 5)}
    >>> recipe = shared_recipe(parts)["imap_keras_preprocess"]
    >>> recipe["target_sum"], "min_genes" in recipe
    (10000, False)
    """
    recipes = {name: recipe_of(adata) for name, adata in parts.items()}
    for entry, what in (VALUES | {COUNTED: "genes whose counts each cell was normalised by"}).items():
        known = {name: recipe[entry] for name, recipe in recipes.items() if entry in recipe}
        differ = len(set(known.values())) > 1
        if differ and entry == COUNTED:  # another annotation has other genes: twice as many are borne
            differ = max(known.values()) > FEWER_GENES * min(known.values())
        if differ:
            said = ", ".join(f"{name!r} {value}" for name, value in known.items())
            raise ValueError(
                f"The files were prepared differently ({what}: {said}), so their values cannot be "
                "compared. Give the files with their counts, or prepare all alike."
            )
    first, *others = recipes.values()
    same = {key: value for key, value in first.items() if all(o.get(key) == value for o in others)}
    if all(RECIPE in adata.uns for adata in parts.values()):
        if all(COUNTED in recipe for recipe in recipes.values()):
            same[COUNTED] = min(recipe[COUNTED] for recipe in recipes.values())
        return {RECIPE: same}
    uns = next(iter(parts.values())).uns
    return {"log1p": uns["log1p"]} if same and "log1p" in uns else {}


def unite_columns(parts: dict[str, AnnData], say: Callable = print) -> None:
    """Make text of each column of ``obs`` that holds text in one file and something else in another.

    What is missing stays missing. A file of cells cannot keep a column of both. A column of True and
    False in one file that another knows nothing of becomes one that may lack entries, else its True
    would be 1.0.

    Examples
    --------
    >>> from imap_keras.command.joining import unite_columns
    >>> from imap_keras.datasets import simulate
    >>> parts = {age: simulate(n_cells=30, n_genes=20) for age in (45, "unknown")}
    >>> for age, adata in parts.items():
    ...     adata.obs["age"] = age
    >>> unite_columns(parts)
    obs['age'] holds numbers in some files and text in others: all are text now.
    """
    shared = [c for c in next(iter(parts.values())).obs if all(c in p.obs for p in parts.values())]
    for column in shared:
        found = {_kind(adata.obs[column]) for adata in parts.values()}
        kinds = found - {None}
        if found == {KINDS["boolean"], None}:
            for adata in parts.values():
                adata.obs[column] = adata.obs[column].astype(object).astype("boolean")
        if len(kinds) > 1:
            first, *others = sorted(kinds)
            say(
                f"obs[{column!r}] holds {first} in some files and {' or '.join(others)} in others: all "
                "are text now."
            )
            for adata in parts.values():
                adata.obs[column] = _as_text(adata.obs[column])


def make_fractions_plain(table: pd.DataFrame) -> None:
    """Make plain numbers, NaN where missing, of nullable fractions: no file can keep these.

    pandas makes them of nullable whole numbers in one file and fractions in another.

    Examples
    --------
    >>> import pandas as pd
    >>> from imap_keras.command.joining import make_fractions_plain
    >>> table = pd.DataFrame({"score": pd.array([0.5, None], "Float64")})
    >>> make_fractions_plain(table)
    >>> table["score"].tolist(), str(table["score"].dtype)
    ([0.5, nan], 'float64')
    """
    for column, dtype in table.dtypes.items():
        if pd.api.types.is_extension_array_dtype(dtype) and pd.api.types.is_float_dtype(dtype):
            table[column] = table[column].to_numpy("float64", na_value=np.nan)


def _kind(column: pd.Series) -> str | None:
    """Numbers, text, true or false; None where nothing is known of any cell."""
    if column.isna().all():
        return None
    values = column.cat.categories if isinstance(column.dtype, pd.CategoricalDtype) else column
    inferred = pd.api.types.infer_dtype(values, skipna=True)
    return KINDS.get(inferred, inferred)


def _as_text(column: pd.Series) -> pd.Series:
    """Text, missing where it was; 45.0 beside empty cells is "45", as it is in a file without these."""
    text = column.astype(object).convert_dtypes().astype("string").astype(object)
    return text.where(column.notna(), None)
