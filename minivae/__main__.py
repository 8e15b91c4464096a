"""Run the command `minivae` as `python -m minivae`."""

import sys

from minivae.app.cli import main

if __name__ == "__main__":                                  # spawned processes import this module, but must not run main
    sys.exit(main())
