"""Videos as pixels: decoded frames, their crops and patch grids, and encoded videos."""
