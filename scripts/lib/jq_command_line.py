"""jq's command line over its Python package, which carries the real library
without the program. Only where jq itself cannot be installed: the options are
those that the tests and the README use. It cannot be named `jq.py`: it would import
itself."""

import argparse
import json
import sys

import jq

VERSION = "jq (the library, from PyPI)"


def main() -> int:
    options = arguments()
    program = jq.compile(options.filter, args=dict(options.arg))
    status = 4 if options.exit_status else 0
    try:
        for value in results(program, options):
            show(value, options)
            if options.exit_status:
                status = 1 if value in (None, False) else 0
    except ValueError as error:
        print(f"jq: error: {error}", file=sys.stderr)
        return 5
    return status


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="jq")
    parser.add_argument("-r", "--raw-output", action="store_true")
    parser.add_argument("-c", "--compact-output", action="store_true")
    parser.add_argument("-e", "--exit-status", action="store_true")
    parser.add_argument("-n", "--null-input", action="store_true")
    parser.add_argument("-s", "--slurp", action="store_true")
    parser.add_argument("-M", "--monochrome-output", action="store_true")
    parser.add_argument("--arg", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"))
    parser.add_argument("--version", action="version", version=VERSION)
    parser.add_argument("filter", nargs="?", default=".")
    parser.add_argument("files", nargs="*")
    return parser.parse_args()


def results(program, options):
    if options.null_input:
        return program.input_value(None)
    texts = [open(name, encoding="utf-8").read() for name in options.files]
    return program.input_text("\n".join(texts) if texts else sys.stdin.read(), slurp=options.slurp)


def show(value, options) -> None:
    if options.raw_output and isinstance(value, str):
        print(value)
    elif options.compact_output:
        print(json.dumps(value, ensure_ascii=False, separators=(",", ":")))
    else:
        print(json.dumps(value, ensure_ascii=False, indent=2))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BrokenPipeError:
        sys.exit(0)
