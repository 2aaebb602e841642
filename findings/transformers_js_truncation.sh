#!/usr/bin/env bash
# A pair of texts that is longer than max_length, with truncation.
# Version: @huggingface/transformers 4.3.1 (npm).
# Expected: as in transformers for Python, the longer text loses its end, and the pair still ends in a
# separator.
# Seen: the ids are cut after max_length of them, special tokens included: the last separator is gone,
# and behind a long query no token of the document is left. Nothing warns.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund --ignore-scripts --save-exact --prefix . \
    @huggingface/transformers@4.3.1
cat >run.mjs <<'EOF'
import assert from "node:assert";
import fs from "node:fs";
import { AutoTokenizer, env } from "@huggingface/transformers";

const words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "b"];
const special = (name) => ({ SpecialToken: { id: name, type_id: 0 } });
const text = (id) => ({ Sequence: { id, type_id: 0 } });
const token = (name) => [name, { id: name, ids: [words.indexOf(name)], tokens: [name] }];
const file = {
  version: "1.0",
  added_tokens: [],
  normalizer: null,
  pre_tokenizer: { type: "Whitespace" },
  post_processor: {
    type: "TemplateProcessing",
    single: [special("[CLS]"), text("A"), special("[SEP]")],
    pair: [special("[CLS]"), text("A"), special("[SEP]"), text("B"), special("[SEP]")],
    special_tokens: Object.fromEntries(["[CLS]", "[SEP]"].map(token)),
  },
  decoder: null,
  model: {
    type: "WordPiece",
    vocab: Object.fromEntries(words.map((word, id) => [word, id])),
    unk_token: "[UNK]",
    continuing_subword_prefix: "##",
    max_input_chars_per_word: 100,
  },
};
fs.mkdirSync("models/tiny", { recursive: true });
fs.writeFileSync("models/tiny/tokenizer.json", JSON.stringify(file));
const names = { pad_token: "[PAD]", unk_token: "[UNK]", cls_token: "[CLS]", sep_token: "[SEP]" };
const config = { tokenizer_class: "BertTokenizer", ...names };
fs.writeFileSync("models/tiny/tokenizer_config.json", JSON.stringify(config));
env.allowRemoteModels = false;
env.localModelPath = "models/";
const tokenizer = await AutoTokenizer.from_pretrained("tiny");
const ids = (query, text_pair) =>
  tokenizer(query, { text_pair, truncation: true, max_length: 8, return_tensor: false }).input_ids;
const long = "b b b b b b b b";
console.log("short", ids("a", "b b"), "long document", ids("a", long), "long query", ids(long, "a"));
assert.deepEqual(ids("a", "b b"), [2, 4, 3, 5, 5, 3]);
assert.deepEqual(ids("a", long), [2, 4, 3, 5, 5, 5, 5, 5]);
assert.deepEqual(ids(long, "a"), [2, 5, 5, 5, 5, 5, 5, 5]);
EOF
node run.mjs
