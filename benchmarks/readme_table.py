"""Print a result of `benchmark.py` as the table in the README.

python benchmarks/readme_table.py benchmarks/results/RESULT.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main(path: str) -> None:
    """Print medians of ours in milliseconds, and their ratios to the peers."""
    result = json.loads(Path(path).read_text())
    medians = {
        (row["part"], row["objects"], row["subject"]): row["median"]
        for row in result["times"]
    }
    for subject, seconds in result["further_object"]["seconds"].items():
        medians["each further object", "", subject] = seconds
    peers = result["peers"]
    print("| part | objects | ours | " + " | ".join(f"/ {p}" for p in peers) + " |")
    print("| --- | --- | --- |" + " --- |" * len(peers))
    for part, objects in dict.fromkeys(key[:2] for key in medians):
        ours = medians[part, objects, "ours"]
        ratios = [
            f"{ours / medians[part, objects, peer]:.2f}"
            if medians.get((part, objects, peer))
            else "-"
            for peer in peers
        ]
        cells = [part, str(objects), f"{1e3 * ours:.0f} ms", *ratios]
        print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main(sys.argv[1])
