"""The course: sources and notebooks agree, lessons are library code, results keep their bounds."""

import ast
import copy
import html
import inspect
import json
import re
import textwrap
from pathlib import Path

import jupytext
import nbformat
import numpy as np
import pytest

from imap_keras import bayes, omics, pairs, regions, scarches, stage1, stage2
from imap_keras.course.claims import agrees, broken_claims, quoted_numbers
from imap_keras.course.results import holds
from imap_keras.course.runner import NOTEBOOKS, declared_parameters, run_notebook
from imap_keras.datasets import simulate
from imap_keras.imap import (
    Hyperparameters,
    agreement,
    balance,
    components,
    head,
    importance,
    row_layers,
    spread,
    training,
)
from imap_keras.inclust import network as inclust_network
from imap_keras.metrics import interactions
from imap_keras.nn.callbacks import AverageWeights

SOURCES = sorted(NOTEBOOKS.glob("[0-9][0-9]_*.py"))
TITLES = [
    "00_tour",
    "01_data_and_batch_effects",
    "02_building_blocks",
    "03_stage_one",
    "04_pairs",
    "05_stage_two",
    "06_several_batches",
    "07_real_data",
    "08_ablation",
    "09_peers",
    "10_scarches_query_to_reference",
    "11_inclust_masks",
    "12_regions_across_species",
    "13_autoencoder_or_pca",
    "14_many_omics_one_code",
    "15_convolution_and_uncertainty",
    "16_which_genes",
    "17_interactions_across_platforms",
    "18_disease_on_a_healthy_reference",
    "19_more_cells_than_memory",
]

# Real data without which a notebook is skipped.
NEEDED = {
    "07_real_data": ["sc_mixology"],
    "10_scarches_query_to_reference": ["sc_mixology"],
    "11_inclust_masks": ["sc_mixology", "inclust_plus"],
    "13_autoencoder_or_pca": ["sc_mixology"],
    "14_many_omics_one_code": ["cbmc_protein", "scgem", "snareseq"],
    "15_convolution_and_uncertainty": ["sc_mixology"],
}


def test_the_whole_course_is_there():
    assert [source.stem for source in SOURCES] == TITLES
    assert [path.stem for path in sorted(NOTEBOOKS.glob("*.ipynb"))] == TITLES


@pytest.fixture(params=SOURCES, ids=lambda path: path.stem)
def source(request) -> Path:
    return request.param


@pytest.fixture
def cells(source):
    return jupytext.read(source, fmt="py:percent").cells


@pytest.fixture
def notebook(source):
    return nbformat.read(source.with_suffix(".ipynb"), as_version=4)


def test_notebook_was_made_from_its_source(cells, notebook):
    told, made = (
        [(cell.cell_type, cell.source, dict(cell.metadata)) for cell in place]
        for place in (cells, notebook.cells)
    )
    assert made == told
    nbformat.validate(notebook)


def test_notebook_was_executed_in_order_without_errors(notebook):
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    kinds = {output.output_type for cell in code for output in cell.outputs}
    assert "error" not in kinds
    assert any("image/png" in output.get("data", {}) for cell in code for output in cell.outputs)


def test_notebook_carries_no_widgets_and_no_machine_paths(notebook):
    text = json.dumps(notebook)
    assert "widgets" not in notebook.metadata
    assert "application/vnd.jupyter.widget" not in text
    for trace in ("/home/", "/root/", "/work/", "/Users/"):
        assert trace not in text


def test_results_in_the_committed_notebook_hold(notebook):
    text = "\n".join(
        "".join(output.get("data", {}).get("text/plain", ""))
        for cell in notebook.cells
        if cell.cell_type == "code" and "results.save()" in cell.source
        for output in cell.outputs
    )
    assert "True" in text
    assert "False" not in text


def test_cells_are_short(cells):
    too_long = [c.source for c in cells if c.cell_type == "code" and len(c.source.splitlines()) > 12]
    assert not too_long


def test_notebook_has_the_parts_every_lesson_has(source, cells):
    opening = cells[0].source
    assert opening.startswith(f"# {source.stem[:2]} · ")
    assert "**You will learn**" in opening
    assert "**Time** on two cores" in opening
    tags = [tag for cell in cells for tag in cell.metadata.get("tags", [])]
    assert tags.count("parameters") == 1
    assert "exercise" in tags  # what each exercise needs: tests/test_exercises.py
    text = "\n".join(cell.source for cell in cells)
    assert "check(" in text
    assert "## What was learnt" in text
    assert text.rstrip().endswith("versions_table()")
    assert {"seed", "fast", "output_dir"} <= set(declared_parameters(source.with_suffix(".ipynb")))


def test_every_figure_says_what_to_see(cells):
    """Next to each saved figure (up to three text cells away) stands a sentence on what to see.

    Drawings are left out: they show no result.
    """
    for number, cell in enumerate(cells):
        if "save_figure(" in cell.source and "save_figure(drawings." not in cell.source:
            near = [
                c.source for c in cells[max(number - 4, 0) : number + 4] if c.cell_type == "markdown"
            ]
            assert any("What to see" in text for text in near), cell.source


def test_every_image_has_alternative_text(notebook):
    """A sentence of what there is to see, in the output's metadata, where JupyterLab looks for it."""
    told = [
        output.metadata.get("image/png", {}).get("alt", "")
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if "image/png" in output.get("data", {})
    ]
    mute = [number for number, alt in enumerate(told) if len(alt) < 20]
    assert not mute, f"images without alternative text: {mute}"


# ------------------------------------------------------------- sentences rest on results


def committed_rows(stem: str) -> list[dict]:
    """The results the notebook was built with."""
    return json.loads((NOTEBOOKS / "results" / f"{stem}.json").read_text())["results"]


def printed_rows(notebook) -> list[tuple[str, float, str, bool]]:
    """Rows of the table that `results.save()` shows, to six digits."""
    (table,) = (
        output.data["text/html"]
        for cell in notebook.cells
        if cell.cell_type == "code" and "results.save()" in cell.source
        for output in cell.outputs
        if output.output_type == "execute_result"
    )
    fields = [html.unescape(text) for text in re.findall(r"<td>(.*?)</td>", table)]
    rows = zip(*(fields[column::4] for column in range(4)), strict=True)
    return [(name, float(value), bound, held == "True") for name, value, bound, held in rows]


def test_committed_results_are_those_the_notebook_shows(source, notebook):
    rows = committed_rows(source.stem)
    shown = printed_rows(notebook)
    assert [(r["name"], r["bound"], r["holds"]) for r in rows] == [(n, b, h) for n, _, b, h in shown]
    assert [r["value"] for r in rows] == pytest.approx([v for _, v, _, _ in shown], 1e-6, abs=1e-6)


def test_what_the_text_claims_is_what_came_out(source, cells):
    """Each "What to see" names its results; each decimal number or percentage there is one of them."""
    faults = broken_claims(cells, committed_rows(source.stem))
    assert not faults, "\n".join(faults)


TEXT = "**What to see:** green grows by 0.66 (from 21 % to 88 %), orange stays; `k2=100`, $p = 0.5$."
ROWS = [
    {"name": "before", "value": 0.2143, "bound": "<= 0.3", "holds": True},
    {"name": "after", "value": 0.8786, "bound": ">= 0.5", "holds": True},
    {"name": "gain", "value": 0.6643, "bound": ">= 0.15", "holds": True},
]


def claiming(text=TEXT, **metadata):
    return [nbformat.v4.new_markdown_cell(text, metadata=metadata)]


def changed(row, **changes):
    rows = copy.deepcopy(ROWS)
    rows[row].update(changes)
    return rows


def test_a_claim_is_held_against_the_results():
    every = ["gain", "before", "after"]
    assert broken_claims(claiming(claims=every), ROWS) == []
    told = "gain = 0.7, before = 0.2143, after = 0.8786"
    assert broken_claims(claiming(claims=every), changed(2, value=0.7)) == [
        f"cell 0: 0.66 is none of the claimed results {told}"
    ]
    assert broken_claims(claiming(claims=every), changed(1, value=0.8843)) == []
    (fault,) = broken_claims(claiming(claims=every), changed(1, value=0.8851))
    assert fault.startswith(
        "cell 0: 88 % is none of the claimed results gain = 0.6643, before = 0.2143, after = 0.8851"
    )
    assert broken_claims(claiming(claims=every), changed(0, value=0.2143, holds=False)) == [
        "cell 0: before = 0.2143, not <= 0.3"
    ]
    assert broken_claims(claiming(claims=[*every, "loss"]), ROWS) == [
        "cell 0: no result is named 'loss'"
    ]


def test_a_number_that_is_another_result_of_the_cell_is_found_by_its_place():
    every = ["gain", "before", "after"]
    wrong = TEXT.replace("from 21 % to 88 %", "from 88 % to 21 %")
    assert broken_claims(claiming(wrong, claims=every), ROWS) == [
        "cell 0: 21 % is quoted after after = 0.8786, but the claims name it before"
    ]
    late = TEXT.replace("orange stays", "orange stays at 21 %")
    assert broken_claims(claiming(late, claims=every), ROWS) == [
        "cell 0: 21 % is quoted after after = 0.8786, but the claims name it before"
    ]
    assert broken_claims(claiming(late, claims=[*every, "before"]), ROWS) == []


@pytest.mark.parametrize("metadata", [{}, {"claims": []}])
def test_what_to_see_without_a_claim_is_a_fault(metadata):
    assert broken_claims(claiming(**metadata), ROWS) == [
        "cell 0: says what to see and claims no result"
    ]
    assert broken_claims(claiming("Half, 0.5, is a number of a text that claims nothing."), ROWS) == []


@pytest.mark.parametrize(
    "number, right",
    [("0.664", True), ("0.665", False), ("66 %", True), ("66.4 per cent", True), ("67 %", False)]
    + [("\u22120.66", False), ("0.7", True), ("2.15.1", True), ("v0.9", True), ("[0.5, 0.9]", False)],
)
def test_numbers_agree_to_the_digits_shown(number, right):
    faults = broken_claims(claiming(f"It grows by {number}.", claims=["gain"]), ROWS)
    assert (not faults) is right


def test_one_changed_result_of_the_course_breaks_a_sentence():
    """Each number that a text quotes hangs on its result: with another result, a fault is found."""
    for source in SOURCES:
        rows, cells = committed_rows(source.stem), jupytext.read(source, fmt="py:percent").cells
        quoted = [(c, n) for c in cells if c.metadata.get("claims") for n in quoted_numbers(c.source)]
        for cell, (number, percent) in quoted:
            other = copy.deepcopy(rows)
            for row in other:
                if agrees(number, percent, row["value"]):
                    row["value"] += 0.1 + abs(row["value"])
            assert broken_claims([cell], other), (source.stem, number)


# ------------------------------------------------------------- lessons are the library


class Bare(ast.NodeTransformer):
    """Take away what a lesson leaves out: docstrings, annotations, decorators."""

    def visit_FunctionDef(self, node):
        self.generic_visit(node)
        if ast.get_docstring(node) is not None:
            node.body = node.body[1:]
        node.returns, node.decorator_list = None, []
        return node

    def visit_arg(self, node):
        node.annotation = None
        return node


def bare(code: str) -> str:
    return ast.dump(Bare().visit(ast.parse(textwrap.dedent(code))))


PLACES = (
    stage1,
    stage2,
    pairs,
    agreement,
    balance,
    components,
    training,
    spread,
    row_layers,
    head,
    importance,
    interactions,
    scarches,
    scarches.network,
    scarches.novelty,
    inclust_network,
    regions,
    omics,
    omics.network,
    omics.losses,
    bayes,
    bayes.VariationalDense,
    stage2.WGANGP,
    AverageWeights,
)


def library_code(name: str) -> str:
    """Source of a function, or of ``Class.method``."""
    first, _, method = name.partition(".")
    for place in PLACES:
        if first in vars(place):
            piece = vars(place)[first]
            piece = vars(piece)[method] if method else piece
            return inspect.getsource(piece.fget if isinstance(piece, property) else piece)
    raise AssertionError(f"the library has no {name}")


def lessons():
    """Each function of a cell tagged "lesson", and each method of a class."""
    for path in SOURCES:
        for cell in jupytext.read(path, fmt="py:percent").cells:
            if "lesson" not in cell.metadata.get("tags", []):
                continue
            for node in ast.parse(cell.source).body:
                whole = isinstance(node, ast.ClassDef)
                for piece in node.body if whole else [node]:
                    name = f"{node.name}.{piece.name}" if whole else piece.name
                    code = ast.get_source_segment(cell.source, piece)
                    yield pytest.param(name, code, id=f"{path.stem}-{name}")


@pytest.mark.parametrize("name, code", lessons())
def test_lesson_and_library_are_the_same_code(name, code):
    assert bare(code) == bare(library_code(name))


def names_of_calls(tree: ast.AST) -> set[str]:
    calls = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
    return {func.id for func in calls if isinstance(func, ast.Name)}


def reads(tree: ast.AST, name: str) -> bool:
    """Whether ``hp.name`` stands in it."""
    return any(
        isinstance(n, ast.Attribute)
        and n.attr == name
        and isinstance(n.value, ast.Name)
        and n.value.id == "hp"
        for n in ast.walk(tree)
    )


def pieces_behind(name: str) -> set[str]:
    """iMAP's functions that a hyperparameter switches on, or that are handed it.

    Calls with ``hp.name`` among the arguments, calls in a branch that it decides, and small functions
    of the cells that read it themselves.
    """
    own = {
        n
        for m in IMAP_MODULES
        for n, f in vars(m).items()
        if inspect.isfunction(f) or inspect.isclass(f)
    }
    found = set()
    for module in (training, components, balance):
        for node in ast.walk(ast.parse(inspect.getsource(module))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                handed = [*node.args, *(keyword.value for keyword in node.keywords)]
                if any(reads(argument, name) for argument in handed):
                    found.add(node.func.id)
            elif isinstance(node, ast.If | ast.IfExp) and reads(node.test, name):
                body = node.body if isinstance(node.body, list) else [node.body]
                found |= set().union(*map(names_of_calls, body))
    if name == "spread":
        found.add("scale_factor")
    return found & own


IMAP_MODULES = (stage1, stage2, pairs, agreement, balance, components, training, spread)
# Read about in the text of a notebook, and too long or too plain for a lesson.
TOLD_IN_WORDS = {
    "Initializers",  # 02
    "WGANGP",  # 05, method by method
    "stage1_networks",  # 03 builds the three one by one
    "AverageWeights",  # 05, its two methods
    "StopWhenSettled",  # off by default
    "compile_autoencoder",  # 03: two mean squared errors, Adam
    "mixed_cells",  # 03: draws batches of mixtures with draw_mixtures
    "seed_of",
    "sample_cells",
    "fit_network",
    "SEARCHES",
}


def test_every_mechanism_of_imap_that_is_on_by_default_is_a_lesson():
    """What is central follows from the hyperparameters: a new one brings its function along."""
    defaults = Hyperparameters().as_dict()
    on = [name for name, value in defaults.items() if value not in (None, False, 0)]
    central = set().union(*(pieces_behind(name) for name in on)) - TOLD_IN_WORDS
    taught = {parameter.values[0] for parameter in lessons()}
    assert central >= {"balanced_weights", "add_shift", "scale_factor", "paired_cells", "unit_length"}
    assert (central | {"spread_between"}) - taught == set()
    methods = {f"WGANGP.{name}" for name in ("__init__", "compile", "metrics")}
    methods |= {"penalty", "critic_step", "generator_step", "track", "train_step"}
    assert methods - taught == set()


def test_every_central_piece_of_the_other_methods_is_a_lesson():
    taught = {parameter.values[0] for parameter in lessons()}
    assert taught >= {
        "hidden_blocks",
        "build_conditional_encoder",
        "negative_binomial",
        "mmd",
        "copy_weights",
        "freeze",
        "neighbor_weights",
        "landmarks",
        "distances",
        "masked",
        "minus_plus",
        "wire",
        "cluster_divergence",
        "half_squared_error",
        "labelled_cross_entropy",
        "build_region_classifier",
        "hold_out_donors",
        "correlation_map",
        "pair_ranks",
        "read_modality",
        "build_deep_autoencoder",
        "build_joint_network",
        "binary_cross_entropy",
        "poisson_deviance",
        "sample",
        "kl_to_prior",
        "call",
        "mutual_information",
        "build_head",
        "path_gradients",
        "stratified",
        "expected_gradients",
        "completeness_gap",
    }


# ------------------------------------------------------------- papermill, small sizes


@pytest.fixture(scope="session")
def course_folder(tmp_path_factory):
    """One folder for all notebooks, so that each finds what the one before it handed on."""
    return tmp_path_factory.mktemp("course")


def test_course_runs_and_every_bound_holds(source, course_folder, request):
    for dataset in NEEDED.get(source.stem, ()):
        request.getfixturevalue("real_data")(dataset)
    path = source.with_suffix(".ipynb")
    outcome = run_notebook(path, course_folder, {"fast": True, "seed": 0}, timeout=300)
    assert (outcome.status, outcome.message) == ("passed", "")
    content = json.loads((course_folder / "results" / f"{source.stem}.json").read_text())
    assert set(content) == {"notebook", "parameters", "device", "versions", "seconds", "results"}
    assert content["notebook"] == source.stem
    assert content["parameters"]["fast"] is True
    assert content["results"]
    for row in content["results"]:
        assert set(row) == {"name", "value", "bound", "holds"}
        assert holds(row["value"], row["bound"]), row
    figures = list((course_folder / "figures").glob(f"{source.stem[:2]}_*.png"))
    assert figures
    points = course_folder / "results" / "points" / f"{source.stem}.json"
    if points.exists():  # the solutions ran
        rows = json.loads(points.read_text())["exercises"].values()
        assert all(row["points"] == row["of"] for row in rows), rows


def test_a_notebook_runs_alone_by_making_what_it_lacks(tmp_path):
    """05 needs the cells of 01, the encoder of 03, the pairs of 04 and, to compare, the model of 00."""
    path = NOTEBOOKS / "05_stage_two.ipynb"
    outcome = run_notebook(path, tmp_path, {"fast": True, "epochs": 2}, timeout=300)
    # Two epochs teach little, so a bound may break; the run itself must come to its end.
    assert not outcome.message.startswith("cell ")
    assert (tmp_path / "results" / "05_stage_two.json").exists()
    (folder,) = (tmp_path / "handover").iterdir()
    made = {"prepared.h5ad", "stage1", "first_pairs.npy", "imap"}
    assert {path.name for path in folder.iterdir()} == made


def test_the_tour_runs_on_a_users_file_without_types(tmp_path):
    """Log values, dense, a batch column of another name, no cell types: pictures without the types."""
    adata = simulate(n_cells=120, n_genes=60, n_batches=2, n_types=2, seed=1)
    adata.X = np.log1p(adata.X.toarray())
    adata.obs = adata.obs[["batch"]].rename(columns={"batch": "10"})
    adata.layers.clear()
    adata.write_h5ad(tmp_path / "mine.h5ad")
    own = {"dataset": str(tmp_path / "mine.h5ad"), "batch_key": "10", "fast": True, "epochs": 1}
    outcome = run_notebook(NOTEBOOKS / "00_tour.ipynb", tmp_path / "out", own, timeout=300)
    assert (outcome.status, outcome.message) == ("passed", "")
    told = json.loads((tmp_path / "out" / "results" / "00_tour.json").read_text())["results"]
    assert {row["bound"] for row in told} == {"none: your own file"}
    figures = {path.stem for path in (tmp_path / "out" / "figures").iterdir()}
    assert figures >= {"00_before_after", "00_critic", "00_index"}
