#!/usr/bin/env bash
# A pair of texts for a tokenizer whose post-processor is ByteLevel, as that of Qwen3 is.
# Version: @huggingface/tokenizers 0.2.0 (npm), which @huggingface/transformers 4.3.1 has.
# Expected: the ids of both texts, as tokenizers 0.23.3 (pip) gives them for the same tokenizer.json.
# Seen: the ids of the first text alone. A reranker that reads plain pairs then gives every document
# the same score. Nothing warns. With TemplateProcessing both texts are there.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund --ignore-scripts --save-exact --prefix . \
    @huggingface/tokenizers@0.2.0
cat >run.mjs <<'EOF'
import assert from "node:assert";
import { Tokenizer } from "@huggingface/tokenizers";

const text = (id) => ({ Sequence: { id, type_id: 0 } });
const processors = {
  ByteLevel: { type: "ByteLevel", add_prefix_space: false, trim_offsets: false, use_regex: false },
  TemplateProcessing: {
    type: "TemplateProcessing",
    single: [text("A")],
    pair: [text("A"), text("B")],
    special_tokens: {},
  },
};
const ids = (processor) => {
  const file = {
    version: "1.0",
    added_tokens: [],
    normalizer: null,
    pre_tokenizer: { type: "ByteLevel", add_prefix_space: false, use_regex: true },
    post_processor: processors[processor],
    decoder: { type: "ByteLevel" },
    model: { type: "BPE", vocab: { a: 0, b: 1, c: 2 }, merges: [] },
  };
  return new Tokenizer(file, {}).encode("a", { text_pair: "bc" }).ids;
};
for (const name of Object.keys(processors)) console.log(name, ids(name));
assert.deepEqual(ids("ByteLevel"), [0]);
assert.deepEqual(ids("TemplateProcessing"), [0, 1, 2]);
EOF
node run.mjs
