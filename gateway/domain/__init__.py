"""The values that travel through the gateway: requests, results, jobs and errors."""
