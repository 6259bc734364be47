"""Feature stores, what is known of their videos, and how they become batches."""
