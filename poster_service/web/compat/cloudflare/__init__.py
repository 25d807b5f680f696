"""Cloudflare Browser Run's API ("Browser Rendering"), as its official SDKs speak it."""
