"""A sender of logs: the OpenTelemetry SDK for Python, as it is installed, with one of its two exporters.

    otlp.py --protocol grpc --endpoint http://127.0.0.1:6962 --token att_... --count 2000 --batch 50 [--gzip]

Emits events that carry their numbers, and prints `taken N` when the exporter has said of N of them that they
were taken. What the exporter gives up on after its own retries is handed to it again, as a queue on disk would.
With --steps a line on standard input is waited for before each batch.
"""

import argparse
import sys
import time

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.resources import Resource


class Keeping(LogRecordExporter):
    """Hands each batch to the real exporter until that has succeeded."""

    def __init__(self, exporter, steps):
        self.exporter, self.steps, self.taken, self.failures = exporter, steps, 0, 0

    def export(self, batch):
        if self.steps:
            sys.stdin.readline()
        while self.exporter.export(batch) is not LogRecordExportResult.SUCCESS:
            self.failures += 1
            print(f"failed {self.failures}", flush=True)
        self.taken += len(batch)
        print(f"taken {self.taken}", flush=True)
        return LogRecordExportResult.SUCCESS

    def force_flush(self, timeout_millis=10_000):
        return True

    def shutdown(self):
        self.exporter.shutdown()


def exporter(arguments):
    """The real exporter of a protocol."""
    headers = {"authorization": f"Bearer {arguments.token}"}
    if arguments.protocol == "grpc":
        from grpc import Compression
        from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter

        compression = Compression.Gzip if arguments.gzip else None
        return OTLPLogExporter(
            endpoint=arguments.endpoint, insecure=True, headers=headers, timeout=60, compression=compression
        )
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter

    compression = Compression.Gzip if arguments.gzip else Compression.NoCompression
    return OTLPLogExporter(endpoint=arguments.endpoint, headers=headers, timeout=60, compression=compression)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--protocol", choices=["grpc", "http"], required=True)
    parser.add_argument("--endpoint", required=True)
    parser.add_argument("--token", required=True)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--gzip", action="store_true")
    parser.add_argument("--steps", action="store_true")
    arguments = parser.parse_args()

    keeping = Keeping(exporter(arguments), arguments.steps)
    provider = LoggerProvider(resource=Resource.create({"service.name": "sender", "service.version": "1.2.3"}))
    provider.add_log_record_processor(
        BatchLogRecordProcessor(
            keeping,
            schedule_delay_millis=3_600_000,
            max_export_batch_size=arguments.batch,
            max_queue_size=arguments.count,
        )
    )
    logger = provider.get_logger("sender.audit", "7")
    for number in range(arguments.count):
        logger.emit(
            LogRecord(
                timestamp=time.time_ns(),
                event_name="auth.login",
                severity_number=SeverityNumber.INFO,
                severity_text="INFO",
                body={"said": "logged in", "steps": [1, 2.5, True, None]},
                attributes={"user.id": f"u_{number % 7}", "number": number, "client.address": "203.0.113.9"},
            )
        )
    provider.force_flush()
    provider.shutdown()
    print(f"done {keeping.taken}", flush=True)
    return 0 if keeping.taken == arguments.count else 1


if __name__ == "__main__":
    sys.exit(main())
