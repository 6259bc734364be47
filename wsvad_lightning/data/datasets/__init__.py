"""What is known of videos: annotation tables, official files, ground-truth rules."""
