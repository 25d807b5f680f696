"""Serve an aiohttp application on a free port and tell where; for the peers written in Python."""

import socket

from aiohttp import web


def serve(app):
    """Serve until TERM."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    # Called once the application has started: with its browser, where it has one.
    web.run_app(app, sock=listener, print=lambda _: print(f"listening on {address}", flush=True))
