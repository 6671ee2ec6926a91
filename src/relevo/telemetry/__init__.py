"""What an engine tells of itself: metrics, traces, logs, and the one list of all of it (`catalogue.py`).

    counters (core/measured.py) ─────────────────────────► OpenMetrics text
    stored events ── public form ── spans.py ──┬─ chrome.py ─► a file for Perfetto
                                               └─ otlp.py ───► a receiver of OpenTelemetry
    logging ── diary.py ─────────────────────────────────► engine.log, agent.log

Traces are derived from what is stored, never measured beside it: whoever reads the same events comes to the same spans. So a
run that goes on under another engine is one trace. Nothing here decides anything, and when it fails runs do not notice.
"""
