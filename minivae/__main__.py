"""Run the command `minivae` as `python -m minivae`."""

import sys

from minivae.app.cli import main

if __name__ == "__main__":                                  # spawned processes import this module again
    sys.exit(main())
