"""Writes a file whole or not at all."""

import os
from pathlib import Path


def write_atomically(file: Path, content: str | bytes, mode: int = 0o666) -> None:
    """Replace the file's content, or leave it as it was: an OSError, which names the file, changed nothing.

    ``mode`` is a new file's, before the umask. What is no regular file, such as /dev/stdout, is written directly.
    """
    regular = not file.is_relative_to("/dev") and (file.is_file() or not file.exists())
    target = file.resolve() if regular else file  # a link stays one
    temporary = target.with_name(f".{target.name}.{os.getpid()}.new") if regular else target
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as stream:
            stream.write(content.encode() if isinstance(content, str) else content)
        temporary.replace(target)
    except OSError as error:
        error.filename, error.filename2 = str(file), None
        raise
    finally:
        if regular:
            temporary.unlink(missing_ok=True)
