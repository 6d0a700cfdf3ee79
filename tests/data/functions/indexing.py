"""An indexer that writes down what it is given, for the feed's tests."""

import json
import os
from pathlib import Path


def handler(event, _context):
    folder = Path(os.environ["GATE"])
    with (folder / "events").open("a") as events:
        events.write(json.dumps(event) + "\n")
    if (folder / "die").exists():
        (folder / "die").unlink()
        os._exit(3)
    failed = [one["dynamodb"]["SequenceNumber"] for one in event["Records"] if (folder / "fail").exists()]
    (folder / "fail").unlink(missing_ok=True)
    return {"batchItemFailures": [{"itemIdentifier": number} for number in failed]}
