"""Make `python -m derivations` run the command `derivations`."""

import sys

from derivations.app.cli import main

sys.exit(main())
