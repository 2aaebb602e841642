"""The stores behind the memory cache: scores that outlive the process, or that gateways share."""
