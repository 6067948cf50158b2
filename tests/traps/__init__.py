"""What nats-py does that one must know of: each trap with plain nats-py in it, and our clients beside it."""
