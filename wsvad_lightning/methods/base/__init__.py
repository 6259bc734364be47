"""What methods are built on."""
