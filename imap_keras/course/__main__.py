"""``python -m imap_keras.course``: see :mod:`.runner`; with ``--check``: see :mod:`.readiness`."""

import sys

if sys.argv[1:] == ["--check"]:
    from .readiness import main
else:
    from .runner import main

sys.exit(main())
