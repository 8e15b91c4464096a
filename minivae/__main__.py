"""`python -m minivae` is `minivae`."""

import sys

from minivae.cli import main

sys.exit(main())
