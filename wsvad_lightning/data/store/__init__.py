"""The HDF5 feature store."""
