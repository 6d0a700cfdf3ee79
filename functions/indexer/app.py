"""Takes the answers table's stream into the indexes on S3. Any other event, as the schedule's, compacts every index."""

import asyncio
from dataclasses import replace
from typing import Any

from subsecond import bootstrap
from subsecond.aws.client import aws_of
from subsecond.lambda_runtime import telemetry
from subsecond.semantic.index.answers_scan import AnswersScan
from subsecond.semantic.index.compaction import CompactionLimits, Compactor
from subsecond.semantic.index.indexer import Indexer
from subsecond.semantic.index.writer import Writer, WriterLimits

# One loop for the environment's life: the writer keeps what it has read of an index for the next batch.
loop = asyncio.new_event_loop()
# Nobody waits for it: a slow store is better than a batch that comes again.
settings = bootstrap.from_environment()
settings = replace(settings, store_timeout=max(10.0, settings.store_timeout))
writer = Writer(bootstrap.adapter("objects", settings), WriterLimits())
compactor = Compactor(writer, CompactionLimits(index_bytes=settings.index_bytes))
indexer = Indexer(writer, compactor)
answers = AnswersScan(aws_of(settings), settings.answers_table)


async def work(event: dict[str, Any]) -> dict[str, Any]:
    if "Records" in event:
        failed = await indexer.handle(event["Records"])
        return {"batchItemFailures": [{"itemIdentifier": number} for number in failed]}
    await compactor.compact_all(answers)
    return {"counts": dict(+compactor.counts)}


# log_event=False: an event holds questions and answers, and a variable could switch it on.
@telemetry.logger.inject_lambda_context(log_event=False, correlation_id_path=telemetry.CORRELATION_ID)
def handler(event: dict[str, Any], _context: Any) -> dict[str, Any]:
    result = loop.run_until_complete(work(event))
    # Counts since this environment began.
    telemetry.logger.info("indexed", extra={"counts": dict(indexer.counts + compactor.counts)})
    return result
