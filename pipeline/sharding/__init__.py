"""``--shard`` and ``--gpus``: one output from several runs."""
