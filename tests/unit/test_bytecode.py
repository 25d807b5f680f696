"""What is run by path is run from bytecode that is never older than its source."""

import os
import subprocess
import sys
from pathlib import Path

from poster_service.bytecode import compiled


def run(program: str) -> str:
    """What the program prints."""
    argv = [sys.executable, "-I", "-S", "-E", program]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()


def test_bytecode_is_made_and_follows_its_source(tmp_path: Path) -> None:
    """A changed source is compiled again, even if only its time tells."""
    source = tmp_path / "program.py"
    source.write_text("print(1)")
    first = compiled(source)
    assert first.endswith(".pyc")
    assert run(first) == "1"
    source.write_text("print(2)")
    os.utime(source, (1, 1))
    assert run(compiled(source)) == "2"


def test_bytecode_of_another_python_is_not_taken(tmp_path: Path) -> None:
    """A cache that this interpreter cannot run is made again."""
    source = tmp_path / "program.py"
    source.write_text("print(3)")
    cached = Path(compiled(source))
    cached.write_bytes(b"\0\0\r\n" + cached.read_bytes()[4:])
    assert run(compiled(source)) == "3"


def test_where_none_can_be_written_the_source_is_run(tmp_path: Path) -> None:
    """A file stands where the folder of the cache would be: also root cannot write there."""
    source = tmp_path / "program.py"
    source.write_text("print(4)")
    (tmp_path / "__pycache__").write_text("in the way")
    assert compiled(source) == str(source)
    assert run(compiled(source)) == "4"


def test_a_source_with_an_error_is_run_as_it_is(tmp_path: Path) -> None:
    """So that its own message is seen."""
    source = tmp_path / "program.py"
    source.write_text("print(")
    assert compiled(source) == str(source)
