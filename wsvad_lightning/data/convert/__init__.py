"""From the feature files that authors publish to a feature store: ``wsvad data convert``."""
