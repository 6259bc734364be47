"""Demo data that the project renders itself, and a tour of everything on them."""
