"""Sends CloudEvents with the SDK of the specification's authors, until each is answered with a 2xx.

usage: cloud_events.py --url URL --token TOKEN --count N

Of N events, numbered by their ids, a third goes in each mode: binary, structured, and in batches of up to eight. What is
not answered, or answered with 429 or 503, is sent again as it was, as senders do that may lose nothing; anything else is
an error, because such a sender would drop the event there.
"""

import argparse
import datetime
import http.client
import time
import urllib.parse

from cloudevents.core.bindings.http import to_binary_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent

# Longest that one message is sent again, in seconds: far beyond a server that starts.
PATIENCE = 120


def event(number):
    """An event with every kind of attribute, and data of a kind that its number chooses."""
    attributes = {
        "id": f"id {number} \u20ac",
        "source": "https://sender.example/sdk",
        "type": f"com.example.sent.{number % 3}",
        "subject": f"object \"{number}\" 100%",
        "time": datetime.datetime(2026, 11, 21, 12, 0, number % 60, tzinfo=datetime.timezone.utc),
        "datacontenttype": "application/json",
        "traceparent": f"00-{number:032x}-0000000000000001-01",
    }
    return CloudEvent(attributes=attributes, data={"number": number, "text": "\u00e9 \"quoted\""})


def messages(count):
    """Yields headers, body and number of events of each request."""
    third = count // 3
    for number in range(third):
        message = to_binary_event(event(number))
        yield message.headers, message.body, 1
    for number in range(third, 2 * third):
        message = to_structured_event(event(number))
        yield message.headers, message.body, 1
    for start in range(2 * third, count, 8):
        bodies = [to_structured_event(event(number)).body for number in range(start, min(start + 8, count))]
        yield {"content-type": "application/cloudevents-batch+json"}, b"[" + b",".join(bodies) + b"]", len(bodies)


def status_of(address, path, headers, body):
    """Sends one request over a connection of its own; returns the status, or None if no answer came."""
    connection = http.client.HTTPConnection(address, timeout=30)
    try:
        connection.request("POST", path, body=body, headers=headers)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def main():
    """Sends everything and prints one line."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--url", required=True)
    parser.add_argument("--token", required=True)
    parser.add_argument("--count", type=int, required=True)
    options = parser.parse_args()
    url = urllib.parse.urlsplit(options.url)
    sent = repeats = 0
    for headers, body, count in messages(options.count):
        headers = {**headers, "authorization": f"Bearer {options.token}"}
        begun = time.monotonic()
        while (status := status_of(url.netloc, url.path, headers, body)) is None or status in (429, 503):
            if time.monotonic() - begun > PATIENCE:
                raise TimeoutError(f"not taken for {PATIENCE} s; the last status is {status}")
            repeats += 1
            time.sleep(0.05)
        if status // 100 != 2:
            raise ValueError(f"an SDK's event is answered with {status}")
        sent += count
    print(f"{sent} events sent, {repeats} requests repeated")


if __name__ == "__main__":
    main()
