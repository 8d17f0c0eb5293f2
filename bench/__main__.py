"""``python -m bench [--quick] [GROUP ...]``: see `bench.run`."""

import argparse
import sys

from bench.run import GROUPS, run
from clockwork.embedded.folder import EmbeddedError


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure Clockwork.")
    parser.add_argument("--quick", action="store_true", help="small sizes, a minute or two")
    known = ", ".join(GROUPS)
    parser.add_argument("groups", metavar="GROUP", nargs="*", help=f"of {known}; all without any")
    options = parser.parse_args()
    if unknown := [group for group in options.groups if group not in GROUPS]:
        parser.error(f"{unknown[0]!r} is no group of rows; there are {known}")
    try:
        run(options.groups or list(GROUPS), quick=options.quick)
    except EmbeddedError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
