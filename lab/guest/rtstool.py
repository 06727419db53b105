"""Runs Cinder's ``cinder-rtstool`` in forks of a process that has already imported its modules.

On an emulated processor the imports take seconds, and the LIO target calls the tool a dozen times
for an attach. It runs Cinder's own code with the caller's arguments and open files.
"""

import os
import socket
import sys
import traceback

import rtslib_fb  # noqa: F401
from cinder.cmd import rtstool


def run(arguments, files):
    for number, file in enumerate(files):
        os.dup2(file, number)
    sys.argv = ["cinder-rtstool", *arguments]
    try:
        return rtstool.main() or 0
    except SystemExit as exc:
        if isinstance(exc.code, str):
            print(exc.code, file=sys.stderr)
            return 1
        return exc.code or 0
    except BaseException:
        traceback.print_exc()
        return 1


def main(path):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        while True:
            connection, _ = server.accept()
            with connection:
                message, files, _, _ = socket.recv_fds(connection, 65536, 3)
                child = os.fork()
                if not child:
                    code = run(message.decode().split("\0"), files)
                    sys.stdout.flush()
                    sys.stderr.flush()
                    os._exit(code)
                for file in files:
                    os.close(file)
                _, status = os.waitpid(child, 0)
                connection.sendall(bytes([os.waitstatus_to_exitcode(status) & 255]))


main(sys.argv[1])
