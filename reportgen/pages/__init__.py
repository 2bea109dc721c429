"""A capture to the HTML of its page, and cards to that of the index."""
