"""``--input_subscription``: rounds over messages of Pub/Sub, and what is published of them."""
