"""One parse by Airflow's DagBag: ``python -m tests.bench.parse_once PATH`` prints what it took, as JSON."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG

from tests.bench.servers import memory_mb


def main(path: str) -> None:
    """Parse the file or folder; ``seconds`` are of the processor and leave out the imports above."""
    _ = DAG
    began = time.process_time()
    bag = DagBag(Path(path), safe_mode=True)
    seconds = time.process_time() - began
    errors = {name: text[-500:] for name, text in bag.import_errors.items()}
    found = {"seconds": seconds, "dags": len(bag.dags), "errors": errors, "memory_mb": memory_mb(os.getpid())}
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])
