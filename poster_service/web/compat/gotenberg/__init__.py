"""Gotenberg 8's routes for Chromium, so that its clients work unchanged.

`api` has the routes and the errors, `fields` the fields of the forms, `translation` what they are
in this service's own options. Facts about the interface are from Gotenberg's public source and
tests (8.36); differences are listed in docs/compat-gotenberg.md.
"""
