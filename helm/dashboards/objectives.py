"""The numbers that panels draw as thresholds. docs/slo.md gives the reasons; a test holds these to the rules."""

from typing import Final

AVAILABILITY: Final = 0.999
FAST_S: Final = 0.05
FAST_SHARE: Final = 0.90
SLOW_S: Final = 0.25
SLOW_SHARE: Final = 0.99
FRESH_S: Final = 26 * 3600
RECALL: Final = 0.95
RECALL_ALERT: Final = 0.90
BURN_PAGE: Final = 14.4
BURN_PAGE_SLOW: Final = 6.0
BURN_TICKET: Final = 3.0
BURN_TICKET_SLOW: Final = 1.0
QUEUE_TO_COMPUTE: Final = 0.5
"""Where Triton is scaled out (`triton.autoscaling.queueRatio`)."""
