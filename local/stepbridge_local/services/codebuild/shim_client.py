"""The program behind ``docker`` and ``aws`` in a build: sends the command to the local AWS and shows the result.

Run as a file by any Python, so standard library only: ``python -IS shim_client.py SOCKET PROGRAM ARGUMENT...``
"""

# ruff: noqa: PTH110, PTH112  pathlib takes longer to import than all else here
from __future__ import annotations

import json
import os
import socket
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, BinaryIO

UNREACHABLE = 125


def main(socket_path: str, program: str, arguments: list[str]) -> int:
    # Only commands that ask for standard input read it. The others leave it to the next command.
    given = sys.stdin.read() if "--password-stdin" in arguments else ""
    request = {
        "program": program,
        "arguments": arguments,
        "environment": dict(os.environ),
        "input": given,
    }
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(socket_path)
    stream: Any = connection.makefile("rwb")
    stream.write(json.dumps(request).encode() + b"\n")
    stream.flush()
    for line in stream:
        answer = json.loads(line)
        if "exit" in answer:
            return int(answer["exit"])
        if "send" in answer:
            send_files(answer["send"], stream)
            continue
        target = sys.stderr if answer["error"] else sys.stdout
        target.write(answer["line"] + "\n")
        target.flush()
    sys.stderr.write(program + ": the local AWS ended before the command did\n")
    return UNREACHABLE


class Frames:
    """A writable file that sends its content in blocks, each after its length."""

    def __init__(self, stream: BinaryIO) -> None:
        self.stream = stream

    def write(self, block: bytes) -> int:
        if block:
            self.stream.write(b"%d\n" % len(block) + block)
        return len(block)


def send_files(path: str, stream: BinaryIO) -> None:
    """A file or folder as a tar; nothing where there is none. Ends with an empty block."""
    import tarfile  # only image builds need this import

    if os.path.exists(path):
        blocks: Any = Frames(stream)
        with tarfile.open(fileobj=blocks, mode="w|", format=tarfile.PAX_FORMAT) as archive:
            archive.inodes = Forgetful()  # type: ignore[attr-defined]  # files, not links to others
            archive.add(path, "." if os.path.isdir(path) else "file")
    stream.write(b"0\n")
    stream.flush()


class Forgetful(dict):  # type: ignore[type-arg]
    """Ignores what is appended: tarfile would keep all members."""

    def __setitem__(self, key: object, value: object) -> None:
        pass


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
