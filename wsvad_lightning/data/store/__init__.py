"""The HDF5 feature store."""

from wsvad_lightning.data.store.reader import FeatureStore
from wsvad_lightning.data.store.records import Features, Origin, Provenance, VideoRecord
from wsvad_lightning.data.store.writer import StoreWriter

__all__ = ["FeatureStore", "Features", "Origin", "Provenance", "StoreWriter", "VideoRecord"]
