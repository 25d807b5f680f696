"""Drives the service from outside and counts what is left; knows none of the rooms it tests."""
