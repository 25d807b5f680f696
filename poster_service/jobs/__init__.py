"""What outlives a request: results in object storage, and what is sent to addresses of callers."""
