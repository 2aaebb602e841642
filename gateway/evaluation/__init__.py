"""How good an order is, by the judgements of people: `gateway eval`. The extra `eval` is needed."""
