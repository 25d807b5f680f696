"""browserless 2's HTTP API: its requests as render requests, its gauges, its texts for errors."""
