"""Networks and descriptors that turn frames into features."""
