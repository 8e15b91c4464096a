"""Make `python -m derivations` run the command `derivations`."""

import sys

from derivations.app.cli import main

if __name__ == "__main__":                                  # a spawned process imports this module, but must not run main
    sys.exit(main())
