"""Make `python -m derivations` run the command `derivations`."""

import sys

from derivations.app.cli import main

if __name__ == "__main__":                                  # processes that Python spawns import this module again
    sys.exit(main())
