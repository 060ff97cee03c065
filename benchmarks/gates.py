"""How well the quality gates tell good captures from bad ones: labelled captures through the pipeline's own stages.

    python benchmarks/gates.py --json FILE            # all of them
    python benchmarks/gates.py --quick --json FILE    # four of them
    python benchmarks/gates.py --keep ROWS.jsonl      # each capture is written at once; a run that was ended goes on

Captures are films of synthetic worlds that are damaged in a controlled way, or not; others are damaged copies of one
good reconstruction, or of what was trained on it. Truth is what only the benchmark knows: true poses, and views that
no camera took. A capture is good if the result of the pipeline, with every gate lifted, is good enough to ship.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).parents[1])  # beside this file lies a package of the same name

from benchmarks.gates.run import main

if __name__ == "__main__":
    main()
