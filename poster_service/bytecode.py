"""The bytecode of a program of ours that is run by path.

Python caches the bytecode of what is imported, but compiles what is run by path again each time:
9 ms of CPU and 4 MB for init, 1 to 3 ms for every shim (measured). Running the cached file itself
saves that.
"""

import importlib.util
from pathlib import Path


def compiled(source: Path) -> str:
    """Path to run in place of `source`: its bytecode, brought up to date; else `source` itself.

    It is `source` where none can be written, as on a read-only tree. It is written even under
    PYTHONDONTWRITEBYTECODE, which is about imports.
    """
    cached = Path(importlib.util.cache_from_source(str(source)))
    if not is_fresh(cached, source):
        import py_compile  # on a first start only

        mode = py_compile.PycInvalidationMode.TIMESTAMP
        try:
            py_compile.compile(str(source), str(cached), doraise=True, invalidation_mode=mode)
        except (OSError, py_compile.PyCompileError):
            return str(source)
    return str(cached) if is_fresh(cached, source) else str(source)


def is_fresh(cached: Path, source: Path) -> bool:
    """Whether the bytecode was made from this source: when run by path, Python does not check.

    Its header holds the interpreter's magic number, and the source's time and size (PEP 552).
    """
    try:
        header, status = cached.read_bytes()[:16], source.stat()
    except OSError:
        return False
    wanted = (int(status.st_mtime) & 0xFFFFFFFF, status.st_size & 0xFFFFFFFF)
    recorded = int.from_bytes(header[8:12], "little"), int.from_bytes(header[12:16], "little")
    return header[:4] == importlib.util.MAGIC_NUMBER and recorded == wanted
