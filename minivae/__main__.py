"""`python -m minivae` is `minivae`."""

import sys

from minivae.app.cli import main

sys.exit(main())
