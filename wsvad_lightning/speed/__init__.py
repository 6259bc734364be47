"""What steps, loading and extraction cost."""
