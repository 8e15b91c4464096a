"""`python -m derivations` is `derivations`."""

import sys

from derivations.cli import main

sys.exit(main())
