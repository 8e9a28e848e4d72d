"""``python -m imap_keras.course``: see :mod:`imap_keras.course.runner`."""

import sys

from .runner import main

sys.exit(main())
