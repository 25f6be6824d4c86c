"""Puts what the other recipes made into the package: models in fp16, and the descriptions of the classes.

python recipes/assemble.py WORK src/srrs/assets
"""

import json
import shutil
import sys
from pathlib import Path

KEEP = ("config.json", "model.safetensors", "preprocessor_config.json", "tokenizer.json", "tokenizer_config.json")


def assemble(work: Path, assets: Path) -> None:
    for model in ("clip", "matcher"):
        target = assets / model
        target.mkdir(parents=True, exist_ok=True)
        for name in KEEP:
            shutil.copyfile(work / model / name, target / name)
    words = json.loads((Path(__file__).parent / "words.json").read_text())
    descriptions = {name: entry["description"] for name, entry in words.items()}
    (assets / "descriptions.json").write_text(json.dumps(descriptions, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    assemble(Path(sys.argv[1]), Path(sys.argv[2]))
