"""A measured process. It runs in either environment, reads requests line by line and answers with
JSON, so that the compared subjects can be measured in turn.

usage: python -m benchmarks.worker SUBJECT CONFIGURATION (a module in ``subjects``, and its JSON)
"""

from __future__ import annotations

import importlib
import json
import os
import sys


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # output of libraries must not mix with the answers
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
