"""From video to features: decoding, views, frame and motion encoders, the extraction loop."""
