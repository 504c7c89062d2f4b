"""PyTorch: a DataLoader over the parts, shuffled, with workers, labels and pinned batches.

    python examples/analytics/torch_dataloader.py out labels.tsv --workers 2

What fits into memory is simpler as a ``TensorDataset`` of the matrix of ``pandas_frame.load``.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from committed_parts import committed_parts
from labels import look_up, read_labels
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

UNLABELLED = -100  # cross_entropy leaves it out
Batch = tuple[torch.Tensor, torch.Tensor]


class Proteins(IterableDataset):  # type: ignore[type-arg]
    """Batches of vectors and labels, each row once per epoch: float32 (B, D) and int64 (B,).

    Rows lie sorted by file, often by family, so some row groups of up to 8,191 rows are mixed at a
    time. Each worker holds its own in memory.
    """

    def __init__(self, parts: list[str], labels: dict[str, str], batch: int, mixed: int = 4):
        self.dim = pq.read_schema(parts[0]).field("embedding").type.list_size
        self.classes = sorted(set(labels.values()))
        self._labels, self._batch, self._mixed = labels, batch, mixed
        # Row groups, not parts, are shared out: there may be one part alone. Only names are kept,
        # as open files do not survive the way to a worker.
        self._groups = [(p, g) for p in parts for g in range(pq.read_metadata(p).num_row_groups)]

    def __iter__(self) -> Iterator[Batch]:
        # Every worker has a copy of all this: without a share of its own each would give all rows.
        worker = get_worker_info()
        share = self._groups[worker.id :: worker.num_workers] if worker else self._groups
        # The order is the worker's own, the share is not: workers need not draw the same numbers.
        order = torch.randperm(len(share)).tolist()
        for start in range(0, len(order), self._mixed):
            x, y = self._read([share[i] for i in order[start : start + self._mixed]])
            for rows in torch.randperm(len(x)).split(self._batch):
                yield x[rows], y[rows]

    def _read(self, groups: list[tuple[str, int]]) -> Batch:
        columns = ["id", "accession", "embedding"]
        read = [pq.ParquetFile(part).read_row_group(group, columns) for part, group in groups]
        table = pa.concat_tables(read)
        flat = np.concatenate([chunk.flatten().to_numpy() for chunk in table["embedding"].chunks])
        names = look_up(self._labels, *(table[c].to_pylist() for c in columns[:2]))
        places = {name: place for place, name in enumerate(self.classes)}
        y = [UNLABELLED if name is None else places[name] for name in names]
        return torch.from_numpy(flat).reshape(len(table), -1), torch.tensor(y)


def make_loader(proteins: Proteins, workers: int) -> DataLoader[Batch]:
    """Returns a loader; ``shuffle`` is not for iterable data sets, and batches are made already."""
    return DataLoader(
        proteins,
        batch_size=None,  # a batch travels as one tensor, not as B rows that are stacked again
        num_workers=workers,
        pin_memory=torch.cuda.is_available(),  # so that non_blocking copies are
        persistent_workers=workers > 0,
    )


def main() -> None:
    """Trains a linear classifier for some epochs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", metavar="OUTPUT", type=committed_parts)
    parser.add_argument("labels", type=read_labels, help="TSV: id, label")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    if not args.labels:
        parser.error("the table has no label below its header")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    proteins = Proteins(args.parts, args.labels, args.batch)
    loader = make_loader(proteins, args.workers)
    model = torch.nn.Linear(proteins.dim, len(proteins.classes), device=device)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2)
    for epoch in range(args.epochs):
        rows = labelled = right = 0
        for cpu_x, cpu_y in loader:
            x, y = cpu_x.to(device, non_blocking=True), cpu_y.to(device, non_blocking=True)
            scores = model(x)
            loss = torch.nn.functional.cross_entropy(scores, y, reduction="sum")
            optimizer.zero_grad()
            (loss / len(y)).backward()
            optimizer.step()
            rows, labelled = rows + len(y), labelled + int((y != UNLABELLED).sum())
            right += int((scores.argmax(1) == y).sum())
        share = right / max(labelled, 1)
        print(f"epoch {epoch}: {rows} rows, {labelled} with a label, {share:.0%} of them right")
    print("These are the rows that it learns from; sklearn_probe.py holds some back.")


if __name__ == "__main__":
    main()
