"""Fetch the data of the course ahead of time: ``python -m imap_keras.datasets [dataset ...]``."""

import argparse
import sys

from ._download import cache_folder, fetch, registry

COURSE = ["sc_mixology", "inclust_plus", "scgem", "snareseq", "cbmc_protein"]


def main(arguments: list[str] | None = None) -> int:
    """Fetch the named data sets (those of the notebooks without a name) into the cache folder."""
    known = sorted(registry()["dataset"].unique())
    parser = argparse.ArgumentParser(
        prog="python -m imap_keras.datasets",
        description="Fetch data into the cache, so that the course runs without network. "
        "IMAP_KERAS_DATA moves the cache, to a memory stick for instance.",
    )
    parser.add_argument(
        "dataset",
        nargs="*",
        help=f"of {', '.join(known)}; default: {', '.join(COURSE)}, what the notebooks use",
    )
    wanted = parser.parse_args(arguments).dataset or COURSE
    for name in wanted:
        if name not in known:
            parser.error(f"unknown data set {name!r}; choose from {', '.join(known)}")
    table = registry()
    try:
        for file in table.loc[table["dataset"].isin(wanted), "file"]:
            fetch(file)
    except OSError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{', '.join(wanted)}: complete in {cache_folder()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
