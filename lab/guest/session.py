"""A Python process that runs code from the host: one JSON document per line in, one per line out.

Names are kept between requests, so that slow imports happen only once. Output of the code and the
log go to the machine's second console.
"""

import ast
import json
import logging
import os
import sys
import traceback


def evaluate(code, names):
    """Run code. Returns the value of the last statement if it is an expression."""
    tree = ast.parse(code)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "<scenario>", "exec"), names)
    if last is None:
        return None
    return eval(compile(ast.Expression(last.value), "<scenario>", "eval"), names)


def main():
    answers = os.fdopen(os.dup(1), "w")
    console = os.open("/dev/hvc0", os.O_WRONLY | os.O_NOCTTY)
    os.dup2(console, 1)
    os.dup2(console, 2)
    logging.basicConfig(
        level=logging.DEBUG,
        stream=sys.stderr,
        format="%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s",
    )
    names = {"__name__": "__main__"}
    for line in sys.stdin:
        request = json.loads(line)
        names.update(request["names"])
        try:
            answer = {"value": evaluate(request["code"], names)}
            text = json.dumps(answer, default=repr)
        except BaseException as exc:
            traceback.print_exc()
            answer = {
                "error": type(exc).__name__,
                "message": str(exc),
                "traceback": traceback.format_exc(),
            }
            text = json.dumps(answer)
        answers.write(text + "\n")
        answers.flush()


main()
