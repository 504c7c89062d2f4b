"""The benchmarks, a file each: ``add_options`` and ``run``, which keeps what it has seen."""
