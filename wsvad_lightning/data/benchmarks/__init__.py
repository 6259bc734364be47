"""The public benchmarks: their official annotation files, and how their authors label frames."""
