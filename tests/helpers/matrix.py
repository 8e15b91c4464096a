"""Every bug of the museum against every layer of checks, in a process of its own: JSON on stdout.

    python -m tests.helpers.matrix
"""

import json
import time

from minivae.museum import tour

if __name__ == "__main__":
    began = time.process_time()
    print(json.dumps({"found": tour.matrix(), "seconds": time.process_time() - began}))
