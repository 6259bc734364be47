"""What a command prints: its own warnings in a line, and none of libraries that do not concern a run."""

import logging
import threading
import warnings
from pathlib import Path

IGNORED_WARNINGS = (
    "LightningCLI's args parameter is intended to run from within Python",  # it is
    "`isinstance.treespec, LeafSpec.` is deprecated",  # Lightning 2.6 with PyTorch 2.13, theirs to fix
    "Total length of `list` across ranks is zero",  # no videos are held out for validation, as asked
    "Using ModelCheckpoint with manual optimization",  # that follows the steps, which is what we want
    "The ``compute`` method of metric (Frame|Event)Metrics was called before",  # a rank may have no video
    r"Found \d+ module\(s\) in eval mode at the start of training",  # frozen, as a stage's paper says
    "It is recommended to use .self.log",  # FrameMetrics gathers the ranks itself
    "Be aware that when using `ckpt_path`",  # a checkpoint callback of the training is not one of the test
    "The dirpath has changed",  # a new run has a new folder
    "The '.*_dataloader' does not have many workers",  # reading from a memory map needs none
    "The number of training batches .* is smaller than the logging interval",  # training counts steps
    r"\s*``instantiate_classes`` was deprecated",  # Lightning calls it by its old name
    r"\s*Optional type parameters without a default",  # of base classes, which no configuration names
    r"\s*By default only one JsonargparseDeprecationWarning",  # comes before the first of these two
)
TIPS = (
    "Tip: For seamless",
    "`weights_only` was not set",
    "TPU available: False",
    "Restoring states from the checkpoint path",  # another line says what was loaded
)  # for Lightning's other products, and of no concern
PACKAGE = Path(__file__).parent
WRITER = "_AsyncWriterThread"  # of TensorBoard: what it meets is raised once more where a run logs
format_with_place = warnings.formatwarning
show_of_thread = threading.excepthook


def be_quiet() -> None:
    """Keep out of the output of a command what does not concern a run, and the places of our warnings."""
    for message in IGNORED_WARNINGS:
        warnings.filterwarnings("ignore", message)
    warnings.formatwarning = in_a_line
    threading.excepthook = in_the_run
    leave_out_tips()


def in_a_line(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    """Show a warning of this package, which concerns the data, without the place in its code."""
    if Path(filename).is_relative_to(PACKAGE):
        return f"note: {message}\n"
    return format_with_place(message, category, filename, lineno, line)


def in_the_run(raised: threading.ExceptHookArgs) -> None:
    """Show what a thread has met, but for a full disk that the run itself will meet."""
    if not (isinstance(raised.exc_value, OSError) and type(raised.thread).__name__ == WRITER):
        show_of_thread(raised)


def leave_out_tips() -> None:
    """Keep the tips alone out of what Lightning reports."""
    for name in ("utilities.rank_zero", "trainer.connectors.checkpoint_connector"):
        logging.getLogger(f"lightning.pytorch.{name}").addFilter(_concerns_a_run)


def _concerns_a_run(record: logging.LogRecord) -> bool:
    message = record.getMessage()
    return not any(tip in message for tip in TIPS)
