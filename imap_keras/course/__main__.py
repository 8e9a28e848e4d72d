"""``python -m imap_keras.course``: :mod:`.runner`, or :mod:`.readiness` (--check), :mod:`.edition`."""

import sys

if sys.argv[1:] == ["--check"]:
    from .readiness import main
elif any(word.partition("=")[0] in ("--edition", "--nbgrader") for word in sys.argv[1:]):
    from .edition import main
else:
    from .runner import main

sys.exit(main())
