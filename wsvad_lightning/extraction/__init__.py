"""From videos to feature stores."""
