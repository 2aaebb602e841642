#!/usr/bin/env bash
# The normaliser of a DeBERTa-v2 tokenizer.json when AutoTokenizer loads it.
# Version: transformers 5.24.0, tokenizers 0.23.3.
# Expected: AutoTokenizer gives the ids that tokenizer.json gives.
# Seen: the tokenizer is built again with a normaliser of its own, NFC instead of the file's NFKC:
# full-width letters and ligatures have other ids, plain letters the same.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv --without-pip "$folder/venv"
python3 -m pip --python "$folder/venv/bin/python" install -qq --disable-pip-version-check \
    --no-compile \
    'transformers==5.24.0' 'tokenizers==0.23.3'
cd "$folder"
venv/bin/python - <<'EOF'
import json

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from transformers import AutoTokenizer

pieces = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "\u2581", "a", "\u2581a", "\uff41"]
vocabulary = [(piece, -2.0 if number > 3 else 0.0) for number, piece in enumerate(pieces)]
tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=3, byte_fallback=False))
tokenizer.normalizer = normalizers.Sequence([normalizers.Strip(), normalizers.NFKC()])
tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
tokenizer.save("tokenizer.json")
with open("tokenizer_config.json", "w") as stream:
    json.dump({"tokenizer_class": "DebertaV2Tokenizer"}, stream)
with open("config.json", "w") as stream:
    json.dump({"model_type": "deberta-v2"}, stream)
loaded = AutoTokenizer.from_pretrained(".")
seen = {}
for text in ("a", "\uff41"):
    ids = [form(text, add_special_tokens=False) for form in (tokenizer.encode, loaded)]
    seen[text] = (ids[0].ids, ids[1]["input_ids"])
    print(text, "tokenizer.json", seen[text][0], "AutoTokenizer", seen[text][1])
assert seen["a"][0] == seen["a"][1]
assert seen["\uff41"][0] == seen["a"][0] != seen["\uff41"][1]
EOF
