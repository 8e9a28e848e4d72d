"""What TensorFlow and tqdm print of their own accord, kept off the terminal and out of notebooks."""

import importlib
import os
import re
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

LEVEL = "TF_CPP_MIN_LOG_LEVEL"  # TensorFlow's own: 0 prints all, 3 only what ends the process
# "I0000 00:00:1795.1 210 port.cc:153] oneDNN ...", "2026-11-29 00:18:27.8: E external/local_xla ...",
# and the two lines without a mark.
STARTUP = re.compile(
    rb"[IWE]\d{4} \d|\d{4}-\d\d-\d\d [\d:.]+: [IWE] |WARNING: All log messages before absl::"
    rb"|To enable the following instructions:"
)


@contextmanager
def quiet_start() -> Iterator[None]:
    """Import TensorFlow in here: its start-up lines are dropped, anything else is printed afterwards.

    Some are printed before TensorFlow reads its own log level, so they are caught where they come out:
    at the process' standard error. Who has set ``TF_CPP_MIN_LOG_LEVEL`` to 0 or 1 sees them; 2 and 3
    ask for more silence.

    Examples
    --------
    >>> from imap_keras.nn.quiet import quiet_start
    >>> with quiet_start():
    ...     import tensorflow
    """
    try:
        kept = os.dup(2) if os.environ.get(LEVEL, "3") in ("2", "3") else None
    except OSError:  # there is no standard error
        kept = None
    os.environ.setdefault(LEVEL, "3")
    if kept is None:
        yield
        return
    with tempfile.TemporaryFile() as held:
        if sys.stderr is not None:
            sys.stderr.flush()
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            if sys.stderr is not None:
                sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
            held.seek(0)
            os.write(2, b"".join(line for line in held if not STARTUP.match(line)))


def quiet_bars() -> None:
    """Import tqdm's bars, which scanpy and UMAP do later, without the advice to install widgets.

    In a notebook the advice is three red lines below the first cell; a bar of text will do here.

    Examples
    --------
    >>> import sys
    >>> from imap_keras.nn.quiet import quiet_bars
    >>> quiet_bars()
    >>> "tqdm.auto" in sys.modules
    True
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "IProgress not found")
        importlib.import_module("tqdm.auto")
