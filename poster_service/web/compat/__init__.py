"""Other services' APIs, so that their clients work unchanged: one module each.

A module translates requests of its API into render requests, and errors into its statuses and
bodies. Nothing outside of this package knows of a certain API.
"""
