"""Who a request comes from."""

from aiohttp import web

#: The name of the token that came with it, verified; absent or empty without one.
CALLER = web.RequestKey("caller", str)
