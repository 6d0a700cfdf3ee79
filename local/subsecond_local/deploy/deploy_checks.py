"""Checks of a deployed stack. Each raises LocalError with what it found instead."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from time import monotonic, sleep
from typing import IO, Any
from urllib.parse import urlsplit

from subsecond_local.deploy import deploy_tools
from subsecond_local.errors import LocalError
from subsecond_local.lambda_host import Function, LambdaHost, UrlRoute

QUESTION = {"messages": [{"role": "user", "content": "Is anybody there?"}]}
# A paraphrase, for the semantic cache.
PARAPHRASE = {"messages": [{"role": "user", "content": "is anybody there"}]}
# Slow enough to tell a real stream from one delivered in one piece.
MODEL = "sim-t50-i20-n16"
# One that the template lets the functions ask where it is told no others.
NOVA = "amazon.nova-lite-v1:0"
# Seconds that the table's stream may take.
PATIENCE = 60.0


class Deployed:
    """A stack in ministack. `aws`: the environment variables that point AWS clients at it."""

    def __init__(self, stack: str, aws: Mapping[str, str]) -> None:
        self.stack = stack
        self.key = ""
        self.outputs: dict[str, str] = {}
        self._aws = dict(aws)
        self.endpoint = aws["AWS_ENDPOINT_URL"]
        self._gateway = urlsplit(self.endpoint).netloc

    def client(self, service: str) -> Any:
        import boto3

        return boto3.client(
            service,
            endpoint_url=self._aws["AWS_ENDPOINT_URL"],
            region_name=self._aws["AWS_REGION"],
            aws_access_key_id=self._aws["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self._aws["AWS_SECRET_ACCESS_KEY"],
        )

    def store_secret(self, name: str, value: str) -> None:
        self.client("secretsmanager").create_secret(Name=name, SecretString=value)

    def read(self) -> None:
        """The outputs of the stack."""
        [found] = self.client("cloudformation").describe_stacks(StackName=self.stack)["Stacks"]
        self.outputs = {output["OutputKey"]: output["OutputValue"] for output in found["Outputs"]}

    def physical(self, logical: str) -> str:
        found = self.client("cloudformation").describe_stack_resource(StackName=self.stack, LogicalResourceId=logical)
        name: str = found["StackResourceDetail"]["PhysicalResourceId"]
        return name

    # The functions

    def ask(self, output: str, method: str, path: str, *, key: str, body: object = None) -> tuple[HTTPResponse, Any]:
        """One call to a Function URL, which ministack serves under a path of its own."""
        name = (urlsplit(self.outputs[output]).hostname or "").partition(".")[0]
        connection = HTTPConnection(self._gateway, timeout=60)
        headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
        try:
            target = f"/_aws/lambda-url/{name}{path}"
            connection.request(method, target, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            return response, json.loads(response.read())
        finally:
            connection.close()

    def check_answers(self) -> None:
        """The completion URL: a refusal, an answer, the same from the cache; the statistics of both; a prewarming."""
        body = {**QUESTION, "model": MODEL}
        calls = [
            self.ask("CompletionFunctionUrl", "POST", "/v1/chat/completions", key=key, body=body)
            for key in ("unknown", self.key, self.key)
        ]
        expect("statuses of the completion URL", [response.status for response, _ in calls], [401, 200, 200])
        status = [response.headers["cache-status"] for response, _ in calls[1:]]
        expect("a miss, then a hit", ["fwd=miss" in status[0], "detail=exact" in status[1]], [True, True])
        expect("the same answer", calls[2][1], calls[1][1])
        response, figures = self.ask("CacheStatsFunctionUrl", "GET", "/v1/cache/stats", key=self.key)
        expect("status of the statistics URL", response.status, 200)
        expect("its figures", sorted({"requests", "hits"} & set(figures)), ["hits", "requests"])
        invoked = self.client("lambda").invoke(FunctionName=self.physical("Prewarm"), Payload=b'{"prewarm": true}')
        expect("parts that did not warm", json.loads(invoked["Payload"].read())["failed"], [])

    def check_index(self) -> None:
        """The stored answer, by the table's stream through the indexer, in the bucket."""
        [mapping] = self.client("lambda").list_event_source_mappings(FunctionName=self.physical("Indexer"))[
            "EventSourceMappings"
        ]
        expect("what the indexer follows", mapping["EventSourceArn"], self.outputs["AnswersStream"])
        expect("how it reports failures", mapping["FunctionResponseTypes"], ["ReportBatchItemFailures"])
        begun = monotonic()
        while not (rows := self._indexed_rows()) and monotonic() < begun + PATIENCE:
            sleep(0.05)
        expect("rows in the index", rows, 1)
        print(f"  the stored answer is in the index, {(monotonic() - begun) * 1000:.0f} ms after it was looked for")
        invoked = self.client("lambda").invoke(FunctionName=self.physical("Indexer"), Payload=b'{"upkeep": true}')
        expect("what upkeep found to do", json.loads(invoked["Payload"].read()), {"counts": {}})

    def _indexed_rows(self) -> int:
        s3, bucket = self.client("s3"), self.outputs["Bucket"]
        listed = s3.list_objects_v2(Bucket=bucket, Prefix="index/").get("Contents", [])
        manifests = [one["Key"] for one in listed if one["Key"].endswith("/manifest.json")]
        bodies = [json.loads(s3.get_object(Bucket=bucket, Key=name)["Body"].read()) for name in manifests]
        return sum(segment["rows"] for body in bodies for segment in body["segments"])

    # What was made

    def check_stores(self) -> None:
        """The tables and the bucket as ministack made them. 1.5.33 drops the tables' TTL and the bucket's lifecycle:
        the template's tests hold those."""
        dynamodb = self.client("dynamodb")
        for output, keys in (("AnswersTable", ["pk"]), ("StateTable", ["pk", "sk"])):
            table = dynamodb.describe_table(TableName=self.outputs[output])["Table"]
            expect(f"keys of {output}", [key["AttributeName"] for key in table["KeySchema"]], keys)
            expect(f"billing of {output}", table["BillingModeSummary"]["BillingMode"], "PAY_PER_REQUEST")
        s3, bucket = self.client("s3"), self.outputs["Bucket"]
        rules = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
        expect("encryption", rules[0]["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"], "AES256")
        public = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
        expect("public access blocked", set(public.values()), {True})
        expect("TLS only", "aws:SecureTransport" in s3.get_bucket_policy(Bucket=bucket)["Policy"], expected=True)
        self._check_stream()

    def _check_stream(self) -> None:
        """The stored answer is in the table's stream."""
        streams, arn = self.client("dynamodbstreams"), self.outputs["AnswersStream"]
        description = streams.describe_stream(StreamArn=arn)["StreamDescription"]
        expect("the stream's images", description["StreamViewType"], "NEW_AND_OLD_IMAGES")
        start = {"StreamArn": arn, "ShardIteratorType": "TRIM_HORIZON"}
        shard = description["Shards"][0]["ShardId"]
        iterator = streams.get_shard_iterator(**start, ShardId=shard)["ShardIterator"]
        records = streams.get_records(ShardIterator=iterator)["Records"]
        expect("records in the stream", [record["eventName"] for record in records], ["INSERT"])

    def check_schedules(self) -> None:
        scheduler = self.client("scheduler")
        names = [one["Name"] for one in scheduler.list_schedules()["Schedules"]]
        found = [scheduler.get_schedule(Name=name) for name in names]
        states = sorted((one["State"], one["ScheduleExpression"]) for one in found)
        on = [("ENABLED", "rate(5 minutes)"), ("ENABLED", "rate(6 hours)")]
        off = [("DISABLED", "cron(0 4 * * ? *)"), ("DISABLED", "rate(5 minutes)")]
        expect("schedules", states, [*off, *on])

    def check_update(self, *, memory: int) -> None:
        """After an update: the new memory size, the same URLs, and the answer still cached."""
        before = self.outputs
        self.read()
        expect("outputs after the update", self.outputs, before)
        functions = self.client("lambda")
        for name in ("Streaming", "Completion"):
            found = functions.get_function_configuration(FunctionName=self.physical(name))
            expect(f"memory of {name}", found["MemorySize"], memory)
        body = {**QUESTION, "model": MODEL}
        response, _ = self.ask("CompletionFunctionUrl", "POST", "/v1/chat/completions", key=self.key, body=body)
        expect("the answer is still cached", "detail=exact" in response.headers["cache-status"], expected=True)

    def check_deleted(self) -> None:
        stacks = self.client("cloudformation").list_stacks()["StackSummaries"]
        left = [one["StackStatus"] for one in stacks if one["StackName"] == self.stack]
        expect("the stack is gone", set(left) <= {"DELETE_COMPLETE"}, expected=True)
        expect("tables that are left", self.client("dynamodb").list_tables()["TableNames"], [])

    # The streaming function

    def check_streaming(self, python: Path, built: Path, log: Path) -> None:
        """The built function under the Lambda host, with a Python without packages: every import comes from the layer.

        log: where its output goes.
        """
        function = self.streaming(python, built, {})
        with log.open("wb") as output:
            cold, warm = asyncio.run(self._stream_through(function, output))
        print(f"  a stream through the built function: first byte {cold * 1000:.0f} ms cold, {warm * 1000:.0f} ms warm")

    def check_bedrock(self, python: Path, built: Path, log: Path, address: str) -> None:
        """The built function with the stack's settings for Bedrock, against the stand-in at that address: an answer,
        whole and streamed, signed with what the layer holds of botocore."""
        expect("the policy for models", self.physical("AskModels") != "", expected=True)
        function = self.streaming(python, built, {"AWS_ENDPOINT_URL_BEDROCK_RUNTIME": address})
        with log.open("wb") as output:
            asyncio.run(self._ask_bedrock(function, output))

    async def _ask_bedrock(self, function: Function, log: IO[bytes]) -> None:
        async with LambdaHost([function], [UrlRoute("/", function.name)], output=log) as host:
            place = urlsplit(host.url).netloc
            for body in ({"stream": False}, {"stream": True}):
                said = await asyncio.to_thread(self._bedrock_says, place, {**QUESTION, "model": NOVA, **body})
                expect("status of Bedrock's answer", said[0], 200)
                expect("its end", b'"finish_reason":"stop"' in said[1], expected=True)

    def _bedrock_says(self, netloc: str, body: Mapping[str, Any]) -> tuple[int, bytes]:
        connection = HTTPConnection(netloc, timeout=60)
        headers = {
            "authorization": f"Bearer {self.key}",
            "content-type": "application/json",
            "cache-control": "no-store",
        }
        try:
            connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def streaming(self, python: Path, built: Path, more: Mapping[str, str]) -> Function:
        deployed = self.client("lambda").get_function_configuration(FunctionName=self.physical("Streaming"))
        layer = built / "Shared"
        return Function(
            name="streaming",
            directory=built / "Streaming",
            environment={**deployed["Environment"]["Variables"], **self._aws, **more},
            layers=(layer / "python",),
            mode="RESPONSE_STREAM",
            timeout=float(deployed["Timeout"]),
            memory=deployed["MemorySize"],
            wrapper=layer / "stream-runtime",
            python=python,
            version=deploy_tools.VERSION,
        )

    async def _stream_through(self, function: Function, log: IO[bytes]) -> tuple[float, float]:
        """Seconds to the first byte, from an environment that starts for it and from the same one again."""
        async with LambdaHost([function], [UrlRoute("/", function.name)], output=log) as host:
            place = urlsplit(host.url).netloc
            cold = await asyncio.to_thread(self._stream, place, "cold")
            warm = await asyncio.to_thread(self._stream, place, "warm")
            await asyncio.to_thread(self._ask_in_other_words, place)
            return cold, warm

    def _ask_in_other_words(self, netloc: str) -> None:
        """Another function's answer, found by its meaning. The first requests may come before the index is loaded."""
        begun, status = monotonic(), ""
        while "detail=semantic" not in status and monotonic() < begun + PATIENCE:
            # What was not found must not be stored either: it would be found as the same request.
            headers = {"authorization": f"Bearer {self.key}", "cache-control": "no-store"}
            connection = HTTPConnection(netloc, timeout=60)
            try:
                body = json.dumps({**PARAPHRASE, "model": MODEL})
                connection.request("POST", "/v1/chat/completions", body, headers)
                response = connection.getresponse()
                response.read()
            finally:
                connection.close()
            status = response.headers["cache-status"]
        expect("a question in other words", status.partition("; ttl")[0], "subsecond; hit")
        expect("how it was found", status.rpartition("; ")[2], "detail=semantic")

    def _stream(self, netloc: str, text: str) -> float:
        """Seconds to the first byte of the answer."""
        connection = HTTPConnection(netloc, timeout=60)
        body = {"model": MODEL, "messages": [{"role": "user", "content": text}], "stream": True}
        try:
            begun = monotonic()
            headers = {"authorization": f"Bearer {self.key}", "content-type": "application/json"}
            connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
            response = connection.getresponse()
            arrived = []
            while line := response.readline():
                if line.startswith(b"data: "):
                    arrived.append((monotonic(), line))
        finally:
            connection.close()
        expect("status of the stream", response.status, 200)
        expect("the stream's last line", arrived[-1][1], b"data: [DONE]\n")
        # 16 tokens, 20 ms apart. In one piece they would all arrive at once.
        first, last = arrived[0][0], arrived[-1][0]
        expect("chunks arrive as they are made", last - first > 10 * 0.02, expected=True)
        return first - begun


def expect(what: str, found: object, expected: object) -> None:
    if found != expected:
        raise LocalError(f"{what}: {found!r} instead of {expected!r}")
