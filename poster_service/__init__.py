"""Turns HTML into pictures with headless Chrome and never leaks a process.

Imports nothing: PID 1 and the shims may pass through here on their way up.
"""

__version__ = "0.1.0"
