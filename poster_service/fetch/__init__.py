"""What a page may fetch and the fetching: policy, client, HTTP cache. Knows no render."""
