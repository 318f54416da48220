"""``python -m lab_utils``: see `lab_utils.pipeline.command`."""

import sys

from lab_utils.pipeline.command import main

if __name__ == "__main__":
    sys.exit(main())
