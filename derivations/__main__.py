"""`python -m derivations` is `derivations`."""

import sys

from derivations.app.cli import main

sys.exit(main())
