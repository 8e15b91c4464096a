"""Run the command `minivae` as `python -m minivae`."""

import sys

from minivae.app.cli import main

sys.exit(main())
