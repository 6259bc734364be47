"""``python -m wsvad_lightning`` is ``wsvad``."""

import sys

from wsvad_lightning.cli import main

if __name__ == "__main__":
    sys.exit(main())
