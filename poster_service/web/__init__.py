"""HTTP: the only room that knows requests and statuses."""
