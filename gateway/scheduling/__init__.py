"""The queue of a model: admission, order, dispatch, retries and quarantine."""
