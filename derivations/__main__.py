"""Make `python -m derivations` run the command `derivations`."""

import sys

from derivations.app.cli import main

if __name__ == "__main__":                                  # spawned processes import this module again
    sys.exit(main())
