"""Names and set-up of metrics, traces and logs."""
