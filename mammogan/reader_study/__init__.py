"""The reader study: its design, its server and its page in a browser."""
