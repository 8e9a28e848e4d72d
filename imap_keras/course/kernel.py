"""The process that runs a notebook: on sockets of this machine, its terminal lines in a file."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jupyter_client.manager import AsyncKernelManager
from traitlets import Unicode
from traitlets.config import Config


class LoggedKernelManager(AsyncKernelManager):
    """Starts a kernel whose stdout and stderr of the process go into `log_file`.

    What a notebook prints comes as messages and is in the notebook; to the terminal go only lines of
    drivers and libraries, which would run into the progress bar, and the last words of a dying kernel.
    """

    log_file = Unicode().tag(config=True)

    async def start_kernel(self, **options):
        """As jupyter_client's, with the log."""
        with open(self.log_file, "wb") as file:
            await super().start_kernel(stdout=file, stderr=file, **options)


@contextmanager
def kernel_options(log_file: Path) -> Iterator[dict]:
    """Options of papermill's engine for a kernel that keeps to this machine and logs into a file.

    Messages go over Unix sockets: over TCP anybody on the machine could read them, as ipykernel warns.
    The sockets lie in a temporary folder, because their paths may have about 100 characters only.

    Parameters
    ----------
    log_file
        Overwritten; its folder is made if it does not exist.

    Examples
    --------
    >>> from pathlib import Path
    >>> from imap_keras.course.kernel import kernel_options
    >>> with kernel_options(Path("build/course/logs/00_tour.txt")) as options:
    ...     sorted(options)
    ['config', 'kernel_manager_class']
    """
    log_file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="course-", ignore_cleanup_errors=True) as folder:
        own = {
            "transport": "ipc",
            "connection_file": f"{folder}/kernel.json",
            "log_file": str(log_file),
        }
        yield {
            "kernel_manager_class": LoggedKernelManager,
            "config": Config({LoggedKernelManager.__name__: own}),
        }
