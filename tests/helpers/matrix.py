"""Run each layer (group of checks) of minivae.museum on each planted bug; print all messages as JSON.

    python -m tests.helpers.matrix
"""

import json
import time

from minivae.museum import tour

if __name__ == "__main__":
    began = time.process_time()
    print(json.dumps({"found": tour.matrix(), "seconds": time.process_time() - began}))
