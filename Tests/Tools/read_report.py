#!/usr/bin/env python3
"""Reads a delivery report with Python's email package and prints what is in it as JSON.

    read_report.py FILE.eml

Fails (exit status 1) when it is no multipart/report. Used by the stories about bounces.
"""

import email
import email.policy
import json
import sys


def defects(part):
    found = [f"{part.get_content_type()}: {d!r}" for d in part.defects]
    if part.is_multipart():
        for child in part.get_payload():
            found += defects(child)
    return found


def main():
    with open(sys.argv[1], "rb") as file:
        message = email.message_from_binary_file(file, policy=email.policy.default)
    if message.get_content_type() != "multipart/report":
        sys.exit(f"content type is {message.get_content_type()}")
    human, status, returned = message.get_payload()
    # message/delivery-status parses into one block of fields for the message, one per recipient.
    blocks = [dict((k, str(v)) for k, v in block.items()) for block in status.get_payload()]
    blocks = [block for block in blocks if block]
    print(json.dumps({
        "type": message.get_content_type(),
        "reportType": message.get_param("report-type"),
        "parts": [part.get_content_type() for part in (human, status, returned)],
        "headers": {k: str(v) for k, v in message.items()},
        "human": human.get_content(),
        "message": blocks[0],
        "recipients": blocks[1:],
        "returned": returned.as_string(),
        "defects": defects(message),
    }))


if __name__ == "__main__":
    main()
