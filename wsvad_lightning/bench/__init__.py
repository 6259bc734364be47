"""Methods compared on splits and seeds."""
