"""``python -m wsdriver``: the same as the command ``wsdriver``."""

import sys

from wsdriver.cli import main

if __name__ == "__main__":
    sys.exit(main())
