"""A process that is measured. It runs in either environment, reads a request a line and answers
with JSON, so that those who are compared can be asked in turn.

usage: python -m benchmarks.worker SUBJECT CONFIGURATION, a module of ``subjects`` and JSON for it
"""

from __future__ import annotations

import importlib
import json
import os
import sys


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    module = importlib.import_module(f"benchmarks.subjects.{sys.argv[1]}")
    subject = module.Subject(**json.loads(sys.argv[2]))
    for line in sys.stdin:
        request = json.loads(line)
        answer = getattr(subject, request.pop("do"))(**request)
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
    subject.close()
    answers.flush()
    os._exit(0)


main()
