"""What methods share that are trained in stages, each starting from the checkpoint of the one before."""

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.methods.base.module import WSVADModule


class StagedModule(WSVADModule):
    """Base of the methods that are trained in stages; they give ``start_from``.

    Attributes:
        stage: the one that this module trains, from 1.
        num_stages: how many there are.
        previous: checkpoint of the stage before; None in stage 1, and where nothing is trained.
    """

    stage: int
    num_stages: int
    previous: str | None

    def setup(self, stage: str) -> None:
        """Check as every method does; to train, start from what the stage before has learnt.

        Raises:
            WSVADError: if store and method do not fit, or the checkpoint of that stage is missing.
        """
        super().setup(stage)
        if stage == "fit" and self.stage > 1:
            if self.previous is None:
                problem = f"is required: stage {self.stage} starts from stage {self.stage - 1}"
                remedy = "Give its checkpoint, or run all stages by `wsvad stages`"
                raise WSVADError("model.previous", None, problem, remedy)
            self.start_from(self.previous)

    def start_from(self, path: str) -> None:
        """Take what the stage before has learnt from its checkpoint."""
        raise NotImplementedError(f"{type(self).__name__} must give start_from")


def stage_of(method: WSVADModule) -> tuple[int, int]:
    """Give the stage that a method trains, and how many there are: 1 of 1 where it has no stages."""
    return (method.stage, method.num_stages) if isinstance(method, StagedModule) else (1, 1)
