"""``python -m bench [--quick] [GROUP ...]``: see `bench.run`."""

import argparse

from bench.run import GROUPS, run


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure Clockwork.")
    parser.add_argument("--quick", action="store_true", help="small sizes, under a minute")
    parser.add_argument(
        "groups",
        metavar="GROUP",
        nargs="*",
        choices=[*GROUPS, []],
        help=f"of {', '.join(GROUPS)}; all without any",
    )
    options = parser.parse_args()
    run(options.groups or list(GROUPS), quick=options.quick)


if __name__ == "__main__":
    main()
