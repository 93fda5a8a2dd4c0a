"""The reader study: its design, its pictures, its server and its page in a browser."""
