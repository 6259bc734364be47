"""Draw a glance for every annotated anomaly, as if a person had clicked inside each.

    python scripts/draw_glances.py ped2/annotations.csv glances.csv --seed 0

So what GlanceVAD gains by glances is measured where nobody clicked. A glance is any frame of its interval,
each with the same probability.
"""

from jsonargparse import auto_cli

from wsvad_lightning.data.datasets.clicks import draw_glances
from wsvad_lightning.data.datasets.table import read_annotations, write_annotations


def main(table: str, output: str, seed: int = 0) -> None:
    """Write a table with glances.

    Args:
        table: annotations with the intervals of the anomalies.
        output: CSV file to write.
        seed: of the draws.
    """
    write_annotations(output, draw_glances(read_annotations(table), seed))


if __name__ == "__main__":
    auto_cli(main)
