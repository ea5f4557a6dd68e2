"""Compares two runs of a benchmark; exit code 1 when the second one is slower.

    python -m benchmarks.compare results/gateway_baseline.json results/gateway.json [--most 1.3]

What is compared are the `ratios` of a run: our cost as a multiple of a bare relay's in the same run, so that two machines, or
one that is busy now, can be compared. How many times more than ours an opponent needs must not shrink. Absolute times are not
compared.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

OURS = "droveway"


def slower(before: dict[str, float], after: dict[str, float], most: float) -> Iterator[str]:
    """What got worse by more than `most`, or is not measured any more; in words."""
    for name, was in before.items():
        if name.startswith("litellm") and not any(key.startswith("litellm") for key in after):
            continue  # a run without the opponent
        now = after.get(name)
        if now is None:
            yield f"{name}: was {was:g}, is not measured any more"
        elif (times := now / was if name.startswith(OURS) else was / now) > most:
            yield f"{name}: was {was:g}, is {now:g}: {times:.2f} times worse, at most {most:g} is allowed"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--most", type=float, default=1.3, help="how many times worse is still noise")
    given = parser.parse_args(arguments)
    before, after = (json.loads(path.read_text())["ratios"] for path in (given.before, given.after))
    if not before:
        print(f"{given.before} holds no ratios: nothing to compare with", file=sys.stderr)
        return 1
    worse = list(slower(before, after, given.most))
    for line in worse:
        print(line, file=sys.stderr)
    print(f"{len(before)} ratios compared, {len(worse)} worse")
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
