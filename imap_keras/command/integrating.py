"""``imap-keras integrate``: read, preprocess, integrate, write, report."""

import argparse
import ast
import shlex
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field

from anndata import AnnData

from ..imap.hyperparameters import Hyperparameters
from ..imap.model import IMAP
from ..inputs.expression import COUNTS
from ..inputs.labels import check_order
from ..nn.persistence import write_whole
from ..preprocessing import preprocess
from .batches import named
from .finding import with_counts
from .outputs import WrongCall, check_outputs
from .plan import ALL_GENES, Plan, plan_of
from .reading import read_cells

FEWEST_GENES = 10  # fewer say too little of a cell to find its like


@dataclass
class Integration:
    """Everything that an integration made, for the report.

    Parameters
    ----------
    options
        The command's own.
    plan
        What was found before.
    before, after
        Cells as they went in and as they came out.
    model
        The fitted iMAP.
    warnings
        What the kit warned of.
    seconds
        By step.
    """

    options: argparse.Namespace
    plan: Plan
    before: AnnData
    after: AnnData
    model: IMAP
    warnings: list[str]
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def command(self) -> str:
        """The line that does this once more."""
        return shlex.join(["imap-keras", *self.options.arguments])


def hyperparameters_of(options: argparse.Namespace) -> Hyperparameters:
    """Preset, seed and ``--set name=value`` as hyperparameters.

    Raises
    ------
    WrongCall
        An unknown name, or a value out of range.
    """
    changes = {}
    for text in options.set:
        name, _, value = text.partition("=")
        changes[name.strip()] = _as_python(value)
    seed = {"seed": options.seed}
    for option, of_it in (("--preset", {}), ("--seed", seed), ("--set", seed | changes)):
        try:
            hp = Hyperparameters.of(options.preset, **of_it)
        except (TypeError, ValueError) as error:
            raise WrongCall(f"{option}: {error}") from error
    return hp


def _as_python(text: str):
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def genes_of(text: str) -> int:
    """Number of variable genes: a whole number of at least `FEWEST_GENES`, or ``all``.

    Examples
    --------
    >>> from imap_keras.command.integrating import genes_of
    >>> genes_of("2000"), genes_of("all") > 10**8
    (2000, True)
    """
    if text == "all":
        return ALL_GENES
    if not text.isdigit() or int(text) < FEWEST_GENES:
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither a number of genes, at least {FEWEST_GENES}, nor 'all'"
        )
    return int(text)


def min_genes_of(text: str) -> int:
    """Fewest genes of a cell that stays: a whole number, 0 for none at all.

    Examples
    --------
    >>> from imap_keras.command.integrating import min_genes_of
    >>> min_genes_of("200")
    200
    """
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 0")
    return int(text)


def read_and_plan(options: argparse.Namespace, say: Callable = print) -> tuple[AnnData, Plan]:
    """Read the files and look at them, saying what is found.

    Raises
    ------
    WrongCall
        A hyperparameter is wrong.
    """
    hp = hyperparameters_of(options)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        adata = read_cells(options.files, options.batch_key, options.modality, say)
    keys = options.batch_key, options.label_key
    plan = plan_of(adata, *keys, options.genes, hp, min_genes=options.min_genes)
    plan.doubts = [*sentences_of(caught), *plan.doubts]
    for sentence in plan.said:
        say(sentence)
    for sentence in plan.doubts:
        say(f"Note: {sentence}")
    return adata, plan


def ready_cells(adata: AnnData, plan: Plan, options: argparse.Namespace, say: Callable) -> AnnData:
    """Log-normalised variable genes, from counts or from log values as they are."""
    if plan.prepared:
        return adata
    cells = with_counts(adata, plan.found)
    if plan.found.kind != COUNTS:
        return cells
    cells = preprocess(
        cells, options.batch_key, n_top_genes=options.genes, min_genes=options.min_genes, verbose=0
    )
    report = cells.uns["preprocess"]
    say(
        f"Preprocessed: {cells.n_obs:,} of {report['cells_in']:,} cells and {cells.n_vars:,} of "
        f"{report['genes_in']:,} genes stay."
    )
    return cells


def integrate(options: argparse.Namespace, say: Callable = print) -> int:
    """Run the verb; 0 when done, 1 when something stands in the way.

    Raises
    ------
    WrongCall
        An option cannot work.
    """
    check_outputs(options.output, options.report, options.model, options.files)
    hp = hyperparameters_of(options)
    start = time.perf_counter()
    adata, plan = read_and_plan(options, say)
    if options.order is not None and plan.batches:
        # Where fewer than two keep cells, an obstacle says so: the order is of the batches as read.
        batches = list(plan.kept if len(plan.kept) > 1 else plan.batches)
        unknown = [name for name in options.order if name not in batches]
        if unknown:
            raise WrongCall(
                f"--order: {named(map(repr, unknown))} is none of the batches "
                f"{named(map(repr, batches))}; name each of these once, the anchor first."
            )
        try:
            check_order(options.order, batches)
        except ValueError as error:
            raise WrongCall(f"--order: {error}") from error
    if plan.obstacles:
        for sentence in plan.obstacles:
            say(f"Stop: {sentence}")
        return 1
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        before = ready_cells(adata, plan, options, say)
        seconds = {"read and preprocessed": time.perf_counter() - start}
        start = time.perf_counter()
        model = IMAP(**hp.as_dict())
        after = model.fit_transform(
            before, options.batch_key, options.order, verbose=1, genes=plan.genes
        )
        seconds["integrated"] = time.perf_counter() - start
    warned = say_warnings(caught, say)
    after.uns["imap_keras_command"] = shlex.join(["imap-keras", *options.arguments])
    write_whole(options.output, after.write_h5ad)
    say(
        f"Wrote {options.output}: use obsm['X_imap'] for neighbours and UMAP, layers['imap'] for genes."
    )
    if options.model is not None:
        model.save(options.model)
        say(f"Wrote the model into {options.model}.")
    if options.report is not None:
        from .report import write_report  # figures and metrics: seconds that others need not wait

        done = Integration(options, plan, before, after, model, warned, seconds)
        verdict = write_report(done, options.report)
        say(f"Wrote {options.report}.")
        say(verdict)
    return 0


def sentences_of(caught: list[warnings.WarningMessage]) -> list[str]:
    """Each warning of ours once."""
    return list(dict.fromkeys(str(w.message) for w in caught if w.category is UserWarning))


def say_warnings(caught: list[warnings.WarningMessage], say: Callable) -> list[str]:
    """Say each warning of ours once, as a note, and return what was said."""
    warned = sentences_of(caught)
    for sentence in warned:
        say(f"Note: {sentence}")
    return warned


def check(options: argparse.Namespace, say: Callable = print) -> int:
    """Say what would be done and what stands in the way; 1 if something does."""
    _, plan = read_and_plan(options, say)
    for sentence in plan.obstacles:
        say(f"Stop: {sentence}")
    say("Nothing stands in the way." if not plan.obstacles else "It would not run.")
    return int(bool(plan.obstacles))
