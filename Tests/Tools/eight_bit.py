"""Another reader's word on the conversion to 7 bits: what Python's email package decodes of messages made
at random is the same before and after.

    EKIDEN_MIME_CORPUS=/tmp/mime swift test --filter 'a corpus is written'
    python3 Tests/Tools/eight_bit.py /tmp/mime
"""

import collections
import email
import email.policy
import os
import sys


def seen(message):
    """Structure, and of each leaf its type and content; around parts the preamble and the epilogue."""
    if message.is_multipart():
        inner = [seen(part) for part in message.get_payload()]
        return (message.get_content_type(), inner, message.preamble, message.epilogue)
    return (message.get_content_type(), message.get_payload(decode=True))


def leaves(message):
    return [part for part in message.walk() if not part.is_multipart()]


def main(folder):
    counts = collections.Counter()
    names = sorted(name[:-4] for name in os.listdir(folder) if name.endswith(".eml"))
    for name in names:
        before, after = (open(f"{folder}/{name}.{kind}", "rb").read() for kind in ("eml", "7bit"))
        counts["messages"] += 1
        counts["bytes before"] += len(before)
        counts["bytes after"] += len(after)
        if before == after:
            counts["messages unchanged"] += 1
        for policy in (email.policy.compat32, email.policy.SMTP):
            old, new = (email.message_from_bytes(bytes, policy=policy) for bytes in (before, after))
            if max(after, default=0) > 127:
                sys.exit(f"{name}: 8-bit content is left")
            if seen(old) != seen(new):
                sys.exit(f"{name}: {policy} reads something else")
        counts["most parts of a message"] = max(counts["most parts of a message"], len(list(new.walk())))
        for one, other in zip(leaves(old), leaves(new)):
            counts["leaves"] += 1
            encoding = str(other.get("Content-Transfer-Encoding", "")).lower()
            if str(one.get("Content-Transfer-Encoding", "")).lower() != encoding:
                counts["leaves made " + encoding] += 1
    for what, count in counts.items():
        print(f"{count:>10}  {what}")
    return 0 if counts["messages"] else "there are no messages"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
