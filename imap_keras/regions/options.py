"""The command's options: the original's short and long names, and readable ones."""

import argparse
from pathlib import Path

from .hyperparameters import Hyperparameters

DEFAULTS = Hyperparameters()
# What each part of a run needs: the option's name here, and the original's short form.
NEEDED = {
    "training": {"data": "-d_path", "save": "-s_path"},
    "embedding": {
        "save": "-s_path",
        "mouse": "-m_trans_path",
        "human": "-h_trans_path",
        "pairs": "-hm_path",
    },
    "the independent test": {
        "independent_data": "-id_path",
        "independent_save": "-is_path",
        "test_data": "-itest_path",
    },
}


def parser() -> argparse.ArgumentParser:
    """All options; see ``python -m imap_keras.regions -h``."""
    result = argparse.ArgumentParser(
        prog="python -m imap_keras.regions",
        description="Train region classifiers on the cells of one species, embed the region averages "
        "of human and mouse, and rank homologous regions. An interrupted run goes on where it stopped.",
        allow_abbrev=False,
    )
    _add_paths(result.add_argument_group("files"))
    _add_steps(result.add_argument_group("steps"))
    _add_numbers(result.add_argument_group("classifiers"))
    return result


def _add_paths(group) -> None:
    def add(short: str, readable: str, original: str, what: str, **more):
        names = (f"-{short}", f"--{readable}", f"--{original}")
        group.add_argument(*names, dest=readable.replace("-", "_"), type=Path, help=what, **more)

    add("g_path", "genes", "gene_path", "csv with a column genes", required=True)
    add("d_path", "data", "data_path", "cells to train on, h5ad or csv")
    add("s_path", "save", "save_path", "folder for models and tables")
    add("m_trans_path", "mouse", "mouse_trans_path", "mouse expression, h5ad or csv")
    add("h_trans_path", "human", "human_trans_path", "human expression, h5ad or csv")
    add("hm_path", "pairs", "human_mouse_path", "csv with human_region, mouse_region")
    add("id_path", "independent-data", "independent_data_path", "cells to train on for the test")
    add("is_path", "independent-save", "independent_s_path", "folder for models and tables of the test")
    add("itest_path", "test-data", "independent_test_path", "cells to name in the test")
    group.add_argument("--region-key", default="region", help="column that names the region")
    group.add_argument("--donor-key", default="donor", help="column that names the donor")


def _add_steps(group) -> None:
    def add(short: str, readable: str, original: str, default: bool, what: str):
        names = dict.fromkeys((f"-{short}", f"--{readable}", f"--{original}"))
        dest = f"do_{readable.replace('-', '_')}"
        group.add_argument(
            *names, dest=dest, type=yes_or_no, default=default, metavar="True|False", help=what
        )

    add("train", "train", "train", True, "train; False takes the classifiers in -s_path")
    add("trans", "trans", "trans", True, "embed both species and rank the homologous pairs")
    add("itest", "independent-test", "independent_test", False, "train on -id_path, name -itest_path")
    add("shuffle", "shuffle", "shuffle", False, "train on shuffled region labels, the null")
    add(
        "bv",
        "keep-best",
        "use_bestvalid",
        True,
        "keep the epoch of lowest validation loss, or the last",
    )
    add("br", "best-rank", "use_bestrank", False, "refused: it would choose by what is to be tested")
    group.add_argument(
        "-d", "--device", help="cpu, cuda:0 ...; left out, TensorFlow takes the first GPU it sees"
    )
    group.add_argument("--quiet", action="store_true", help="without progress bar")


def _add_numbers(group) -> None:
    def add(short: str, readable: str, original: str, what: str, kind=int, default=None):
        names = dict.fromkeys((f"-{short}", f"--{readable}", f"--{original}"))
        group.add_argument(
            *names, dest=readable.replace("-", "_"), type=kind, default=default, help=what
        )

    add("n", "repeats", "repeat_n", "classifiers to train, each with its own seed", default=10)
    add("iu", "input-units", "input_units", "genes; counted if left out, checked if given")
    add("ou", "output-units", "output_units", "regions; counted if left out, checked if given")
    for i, units in enumerate(DEFAULTS.hidden, start=1):
        add(f"hu{i}", f"hidden-{i}", f"hidden_units{i}", f"units of hidden layer {i}", default=units)
    add("me", "epochs", "max_epochs", "most epochs of a classifier", default=DEFAULTS.epochs)
    add("bs", "batch-size", "batch_size", "rows a step", default=DEFAULTS.batch_size)
    add("lr", "learning-rate", "learning_rate", "AdamW's", float, DEFAULTS.learning_rate)
    add("wd", "weight-decay", "weight_decay", "AdamW's", float, DEFAULTS.weight_decay)
    add(
        "vr",
        "validation-share",
        "valid_ratio",
        "of a region's donors",
        float,
        DEFAULTS.validation_share,
    )
    group.add_argument("--seed", type=int, default=0, help="of the first repeat")
    group.add_argument(
        "--preset",
        default="default",
        choices=tuple(Hyperparameters.PRESETS),
        help="reference: dropout and optimiser as in the published code",
    )


def yes_or_no(text: str) -> bool:
    """True or False of a word, as the original reads it.

    Raises
    ------
    argparse.ArgumentTypeError
        It is neither.

    Examples
    --------
    >>> from imap_keras.regions.options import yes_or_no
    >>> yes_or_no("True"), yes_or_no("no")
    (True, False)
    """
    words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    if text.lower() not in words:
        raise argparse.ArgumentTypeError(f"{text!r} is neither True nor False")
    return words[text.lower()]


def check_options(options: argparse.Namespace) -> None:
    """Raise if the options do not fit together.

    Raises
    ------
    ValueError
        A path that a step needs is missing, there is nothing to do, or the epoch is to be chosen by
        ranks.

    Examples
    --------
    >>> from imap_keras.regions.options import check_options, parser
    >>> check_options(parser().parse_args(["-g_path", "genes.csv", "-d_path", "cells.h5ad"]))
    Traceback (most recent call last):
    ValueError: training needs -s_path (--save); give it, or switch that off with -train False.
    """
    if options.do_best_rank:
        raise ValueError(
            "-br (--best-rank) is not built: the ranks of the homologous pairs are the test, and an "
            "epoch chosen by them would flatter. Leave it out; -bv chooses by the validation loss."
        )
    steps = {
        "training": ("-train", options.do_train),
        "embedding": ("-trans", options.do_trans),
        "the independent test": ("-itest", options.do_independent_test),
    }
    if not any(wanted for _, wanted in steps.values()):
        raise ValueError("-train, -trans and -itest are all False: there is nothing to do.")
    for step, (switch, wanted) in steps.items():
        for name, short in NEEDED[step].items():
            if wanted and getattr(options, name) is None:
                raise ValueError(
                    f"{step} needs {short} (--{name.replace('_', '-')}); give it, or switch that off "
                    f"with {switch} False."
                )


def hyperparameters_of(options: argparse.Namespace) -> dict:
    """The hyperparameters, by name, that the options say."""
    return {
        "hidden": (options.hidden_1, options.hidden_2, options.hidden_3),
        "epochs": options.epochs,
        "batch_size": options.batch_size,
        "learning_rate": options.learning_rate,
        "weight_decay": options.weight_decay,
        "validation_share": options.validation_share,
        "keep_best": options.do_keep_best,
    }
