"""The course: sources and notebooks agree, lessons are library code, results keep their bounds."""

import ast
import inspect
import json
import textwrap
from pathlib import Path

import jupytext
import nbformat
import pytest

from imap_keras import bayes, omics, pairs, regions, scarches, stage1, stage2
from imap_keras.course.results import holds
from imap_keras.course.runner import NOTEBOOKS, declared_parameters, run_notebook
from imap_keras.imap import agreement, balance
from imap_keras.inclust import network as inclust_network

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
]

# Real data without which a notebook is skipped.
NEEDED = {
    "07_real_data": ["sc_mixology"],
    "10_scarches_query_to_reference": ["sc_mixology"],
    "11_inclust_masks": ["sc_mixology", "inclust_plus"],
    "13_autoencoder_or_pca": ["sc_mixology"],
    "14_many_omics_one_code": ["scgem", "snareseq"],
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
    assert [(c.cell_type, c.source) for c in notebook.cells] == [(c.cell_type, c.source) for c in cells]
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
    assert "solution" in tags
    text = "\n".join(cell.source for cell in cells)
    assert "answer = None" in text
    assert "check(" in text
    assert "## What was learnt" in text
    assert text.rstrip().endswith("versions_table()")
    assert {"seed", "fast", "output_dir"} <= set(declared_parameters(source.with_suffix(".ipynb")))


def test_every_figure_says_what_to_see(cells):
    """Next to each saved figure (up to three text cells away) stands a sentence on what to see."""
    for number, cell in enumerate(cells):
        if "save_figure(" in cell.source:
            near = [
                c.source for c in cells[max(number - 4, 0) : number + 3] if c.cell_type == "markdown"
            ]
            assert any("What to see" in text for text in near), cell.source


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


def library_code(name: str) -> str:
    modules = (
        stage1,
        stage2,
        pairs,
        agreement,
        balance,
        scarches,
        scarches.network,
        inclust_network,
        regions,
    )
    modules += (omics, omics.network, omics.losses, bayes)
    for place in (*modules, bayes.VariationalDense, stage2.WGANGP):
        if name in vars(place):
            return inspect.getsource(vars(place)[name])
    raise AssertionError(f"the library has no {name}")


def lessons():
    for path in SOURCES:
        for cell in jupytext.read(path, fmt="py:percent").cells:
            if "lesson" in cell.metadata.get("tags", []):
                name = ast.parse(cell.source).body[0].name
                yield pytest.param(name, cell.source, id=f"{path.stem}-{name}")


@pytest.mark.parametrize("name, code", lessons())
def test_lesson_and_library_are_the_same_code(name, code):
    assert bare(code) == bare(library_code(name))


def test_every_central_piece_is_a_lesson():
    taught = {parameter.values[0] for parameter in lessons()}
    assert taught >= {
        "build_encoder",
        "build_decoder",
        "decode_moving",
        "build_autoencoder",
        "draw_mixtures",
        "annoy_neighbors",
        "mutual_neighbors",
        "random_walks",
        "random_walk_pairs",
        "pair_agreement",
        "build_generator",
        "balanced_weights",
        "build_critic",
        "penalty",
        "critic_step",
        "generator_step",
        "train_step",
        "hidden_blocks",
        "build_conditional_encoder",
        "negative_binomial",
        "mmd",
        "copy_weights",
        "freeze",
        "neighbor_weights",
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


def test_a_notebook_runs_alone_by_making_what_it_lacks(tmp_path):
    """05 needs the cells of 01, the encoder of 03 and the pairs of 04."""
    path = NOTEBOOKS / "05_stage_two.ipynb"
    outcome = run_notebook(path, tmp_path, {"fast": True, "epochs": 2}, timeout=300)
    # Two epochs teach little, so a bound may break; the run itself must come to its end.
    assert not outcome.message.startswith("cell ")
    assert (tmp_path / "results" / "05_stage_two.json").exists()
    (folder,) = (tmp_path / "handover").iterdir()
    assert {path.name for path in folder.iterdir()} == {"prepared.h5ad", "stage1", "first_pairs.npy"}
