"""Bodies in puppeteer's words and what they mean here, for the APIs that take its options."""
