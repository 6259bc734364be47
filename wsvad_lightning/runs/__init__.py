"""One run: fit, validate, test, predict, and the stages of a method."""
