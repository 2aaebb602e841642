"""`gateway rerank`, and scoring for the commands that measure: by URL or with shards of its own."""
