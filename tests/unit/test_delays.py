"""The stand-in's stores take the time that AWS's take."""

import pytest

from subsecond_local.emulator.delays import VARIABLE, Delays, read
from subsecond_local.errors import LocalError
from tests.support.virtual_time import now, run


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("", {}),
        ("dynamodb=4,s3=20, secrets=30", {"dynamodb": 0.004, "s3": 0.02, "secrets": 0.03}),
        ("s3=0.5", {"s3": 0.0005}),
    ],
)
def test_delays_are_milliseconds_by_service(text, seconds):
    assert read({VARIABLE: text}) == seconds


@pytest.mark.parametrize("text", ["dynamo=4", "s3", "s3=-1", "s3=soon", "s3=1.2.3"])
def test_what_is_no_delay_is_told(text):
    with pytest.raises(LocalError, match="is not like dynamodb=4"):
        read({VARIABLE: text})


@pytest.mark.parametrize(
    ("target", "path", "waits"),
    [
        (b"DynamoDB_20120810.GetItem", "/", 4.0),
        (b"DynamoDBStreams_20120810.GetRecords", "/", 0.0),
        (b"secretsmanager.GetSecretValue", "/", 30.0),
        (b"AmazonSSM.GetParameter", "/", 30.0),
        (b"", "/bucket/key", 20.0),
        (b"", "/_ministack/health", 0.0),
    ],
)
def test_a_call_waits_as_its_service_does(target, path, waits):
    async def app(scope, receive, send):
        scope["served"] = now()

    async def main():
        begun = now()
        scope = {"type": "http", "path": path, "headers": [(b"X-Amz-Target", target)] if target else []}
        medians = {"dynamodb": 4.0, "s3": 20.0, "secrets": 30.0}
        await Delays(app, medians, draw=lambda mu, sigma: 2.718281828459045**mu)(scope, None, None)
        return scope["served"] - begun

    assert run(main()) == pytest.approx(waits)
