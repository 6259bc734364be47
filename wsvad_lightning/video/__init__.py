"""Videos as pixels: reading, crops and patch grids."""
