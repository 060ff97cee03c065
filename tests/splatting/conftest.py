"""pytest's importlib mode does not let tests import what lies beside them: say where the slow renderer is."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
