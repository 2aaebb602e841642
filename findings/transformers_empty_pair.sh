#!/usr/bin/env bash
# A pair whose second text is empty, by itself and in a list.
# Version: transformers 5.24.0, tokenizers 0.23.3.
# Expected: tokenizer(query, "") gives the ids of tokenizer([query], [""]).
# Seen: the first is one text, with one separator; the second, like tokenizers itself, a pair, with
# two. An empty first text makes a pair in both.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv --without-pip "$folder/venv"
python3 -m pip --python "$folder/venv/bin/python" install -qq --disable-pip-version-check \
    --no-compile \
    'transformers==5.24.0' 'tokenizers==0.23.3'
cd "$folder"
venv/bin/python - <<'EOF'
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

tokens = {"[PAD]": 0, "[CLS]": 1, "[SEP]": 2, "[UNK]": 3, "a": 4}
tokenizer = Tokenizer(models.WordLevel(tokens, unk_token="[UNK]"))
tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
tokenizer.post_processor = processors.TemplateProcessing(
    single="[CLS] $A [SEP]",
    pair="[CLS] $A [SEP] $B:1 [SEP]:1",
    special_tokens=[("[CLS]", 1), ("[SEP]", 2)],
)
fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]")
alone = fast("a", "")["input_ids"]
listed = fast(["a"], [""])["input_ids"][0]
print("alone", alone, "in a list", listed, "tokenizers", tokenizer.encode("a", "").ids)
assert alone == [1, 4, 2]
assert listed == tokenizer.encode("a", "").ids == [1, 4, 2, 2]
assert fast("", "a")["input_ids"] == [1, 2, 4, 2]
EOF
