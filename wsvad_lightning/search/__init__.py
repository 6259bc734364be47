"""Settings searched for on held-out training videos."""
