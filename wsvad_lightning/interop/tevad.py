"""Parameter names of the authors' TEVAD (coranholmes/TEVAD, ``Model``): those of SVMAE's detector."""

from wsvad_lightning.interop.svmae import METHOD as METHOD
from wsvad_lightning.interop.svmae import TABLE as TABLE
from wsvad_lightning.interop.svmae import complete as complete
from wsvad_lightning.interop.svmae import init_args as init_args
