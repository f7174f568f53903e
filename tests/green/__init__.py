"""Real servers, and real clients against them."""
