"""The score cache: pairs that were scored before, or are being scored now, are not scored again."""
