"""web: /metrics for Prometheus and /health for balancers, over HTTP."""
