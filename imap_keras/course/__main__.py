"""``python -m imap_keras.course``: :mod:`.runner`, or --check, --edition, --slides: their modules."""

import sys

if sys.argv[1:] == ["--check"]:
    from .readiness import main
elif any(word.partition("=")[0] in ("--edition", "--nbgrader") for word in sys.argv[1:]):
    from .edition import main
elif "--slides" in sys.argv[1:]:
    from .slides import main
else:
    from .runner import main

sys.exit(main())
