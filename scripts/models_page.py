"""Writes docs/models.md from the table of known models, which the tests run.

`python scripts/models_page.py` writes it; `--check` compares, and ends with 1 where it differs.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "models.md"

_HEAD = """# Supported models

`gateway models` prints this page's table. Written by `scripts/models_page.py` from
`gateway/cli/models/known_models.py`; the tests build a folder of each kind in the
hub's own layout and compare its scores with a reference written apart.

What a folder's files say counts, in this order: `modules.json` and its modules, the chat template,
`config_sentence_transformers.json`, `config.json`, `tokenizer.json`. The name counts last, where
nothing else speaks, and `notes` say so. A file with a key that may change scores and is not known
refuses the checkpoint by the name of file and key. `gateway verify MODEL` compares a model's scores
with another reading of its folder.

The setting `template` chooses a prompt where files say none; `plain` joins query and document as
the tokenizer does. The others:

{templates}
"""


def page() -> str:
    """Return the page."""
    sys.path.insert(0, str(ROOT))
    from gateway.cli.models.known_models import REFUSED, SERVED
    from shards.prompts import TEMPLATES

    lines = [_HEAD.format(templates="\n".join(f"- `{name}`" for name in TEMPLATES))]
    for model in SERVED:
        lines.append(f"## {model.name}\n")
        lines.append(f"- {model.parameters} parameters, {model.context} tokens, {model.license}")
        lines.append(f"- languages: {model.languages}")
        lines.append(f"- scores: {model.scoring}")
        lines.append(f"- since: {model.since}\n")
    lines.append("## Refused\n")
    lines += [f"- {model.name}:\n  {model.reason}" for model in REFUSED]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Write the page, or compare it; return the exit code."""
    if "--check" in sys.argv:
        return int(PAGE.read_text(encoding="utf-8") != page())
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
