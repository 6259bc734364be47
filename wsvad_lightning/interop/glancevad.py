"""Parameter names of the authors' GlanceVAD (pipixin321/GlanceVAD, ``WSAD``): those of UR-DMU but for one."""

from wsvad_lightning.interop.urdmu import TABLE as URDMU_TABLE
from wsvad_lightning.interop.urdmu import init_args as init_args
from wsvad_lightning.interop.weights import KeyTable
from wsvad_lightning.methods import GlanceVAD

METHOD = GlanceVAD

TABLE = KeyTable(
    tuple((authors.replace("selfatt.", "self_attn."), ours) for authors, ours in URDMU_TABLE.renames)
)
