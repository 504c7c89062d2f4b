"""Outputs that tests of a report share."""

from __future__ import annotations

import json
from pathlib import Path

from tests.helpers import commit, make_block, make_dead_letter, make_output, make_protein
from transforms.output.commits import Output
from transforms.output.configuration import write_configuration

CONFIGURATION = {"dim": 4, "layers": 2, "model": "demo", "revision": "", "dtype": "float32"}
HOSTILE = "<script>alert(1)</script>"


def hostile_output(tmp_path: Path) -> Output:
    """An output in which every text that others write would be markup."""
    output = make_output(tmp_path, root=str(tmp_path / "out<b>"))
    write_configuration(output.root, CONFIGURATION | {"model": f"m{HOSTILE}", "revision": "<i>"})
    source = f"x{HOSTILE}<img src=x onerror=alert(2)>.fa"
    texts = {"id": f"{HOSTILE}\"'&amp;", "description": f"</script>{HOSTILE}<!--", "sequence": "MK"}
    rows = [make_protein(n, source, **texts) for n in range(12)]
    letters = [
        make_dead_letter(
            20 + n, source, id=HOSTILE, message=f"{HOSTILE}$x_1^", error_type=f"{HOSTILE}{n}",
            stage="<s>",
        )
        for n in range(2)
    ]  # fmt: skip
    commit(output, make_block(*rows), *letters)
    pace = {"span_seconds": 1, "residues": [3], "records": [1], "batch_fill": [1]}
    told = {"device": HOSTILE, "versions": {HOSTILE: HOSTILE}, "pace": pace}
    Path(output.root, "run_report.json").write_text(json.dumps(told))
    return output
