"""Quality of rankings by relevance judgements, for `gateway eval` (extra `eval`)."""
