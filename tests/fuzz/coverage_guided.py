"""Searches for input that breaks a loader, guided by code coverage. Run it by hand.

usage: python tests/fuzz/coverage_guided.py LOADER [OPTION OF LIBFUZZER]...

It requires ``pip install atheris``. Input that breaks the loader is written to a file in the
working directory, whose name is printed; pass the file as the last argument to try it again.
Without an argument it lists the loaders. ``-max_total_time=SECONDS`` limits the time.
"""

from __future__ import annotations

import json
import pathlib
import shutil
import sys
import tempfile

sys.path[:0] = [str(pathlib.Path(__file__).parent)]

try:
    import atheris
except ImportError:
    sys.exit("coverage_guided.py needs atheris: pip install atheris")

with atheris.instrument_imports(include=["cinderlib"]):
    from loaders import Loader, Loaders

    from cinderlib.errors import CinderlibError


def attempt(loader: Loader, data: bytes) -> None:
    """Called by libFuzzer. Errors of other libraries end the run."""
    given: object = data
    if loader.data:
        try:
            given = json.loads(data)
        except (ValueError, RecursionError):
            return
    try:
        loader.read(given)
    except CinderlibError:
        return


def main() -> None:
    folder = pathlib.Path(tempfile.mkdtemp(prefix="cl-fuzz-"))
    try:
        loaders = Loaders(folder)
        if len(sys.argv) < 2 or sys.argv[1] not in loaders.all:
            sys.exit(f"usage: {sys.argv[0]} LOADER [OPTION]..., of: {', '.join(loaders.all)}")
        loader = loaders.all[sys.argv.pop(1)]
        corpus = folder / "corpus"
        corpus.mkdir()
        for number, example in enumerate(loader.examples):
            (corpus / str(number)).write_bytes(example)
        again = any(pathlib.Path(argument).is_file() for argument in sys.argv[1:])
        arguments = sys.argv if again else [*sys.argv, str(corpus)]
        atheris.Setup(arguments, lambda data: attempt(loader, data))
        atheris.Fuzz()
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
