"""Networks too large for one device: parameters, gradients and optimizer states sharded over all devices."""

from lightning.pytorch.strategies import ModelParallelStrategy


class FullyShardedLayers(ModelParallelStrategy):
    """FSDP over all devices of all nodes; the method shards its layers in ``configure_model``.

    Checkpoints are whole ones, as of any other run. It runs on GPUs, and on CPUs by gloo.
    """

    def __init__(self) -> None:
        super().__init__(tensor_parallel_size=1, save_distributed_checkpoint=False)

    def setup_environment(self) -> None:
        """Count the devices before the groups of processes are made."""
        self._data_parallel_size = self.num_nodes * self.num_processes
        super().setup_environment()
