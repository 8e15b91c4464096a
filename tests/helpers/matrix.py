"""Run every layer of checks on every bug of the museum; print the reports as JSON.

    python -m tests.helpers.matrix
"""

import json
import time

from minivae.museum import tour

if __name__ == "__main__":
    began = time.process_time()
    print(json.dumps({"found": tour.matrix(), "seconds": time.process_time() - began}))
