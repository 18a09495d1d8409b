"""What ``docker`` and ``aws`` are during a build: hands the command to the local AWS and shows what it answers.

Run as a file by any Python, so standard library only: ``python -IS shim_client.py SOCKET PROGRAM ARGUMENT...``
"""

import json
import os
import socket
import sys

UNREACHABLE = 125


def main(socket_path: str, program: str, arguments: list[str]) -> int:
    # Only a command that says so reads its standard input; the others leave it to the next command.
    given = sys.stdin.read() if "--password-stdin" in arguments else ""
    request = {
        "program": program,
        "arguments": arguments,
        "folder": os.getcwd(),  # noqa: PTH109  pathlib takes longer to import than all else here
        "environment": dict(os.environ),
        "input": given,
    }
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(socket_path)
    stream = connection.makefile("rw", encoding="utf-8")
    stream.write(json.dumps(request) + "\n")
    stream.flush()
    for line in stream:
        answer = json.loads(line)
        if "exit" in answer:
            return int(answer["exit"])
        target = sys.stderr if answer["error"] else sys.stdout
        target.write(answer["line"] + "\n")
        target.flush()
    sys.stderr.write(program + ": the local AWS ended before the command did\n")
    return UNREACHABLE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
