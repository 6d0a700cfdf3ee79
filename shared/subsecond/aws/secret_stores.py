"""Secrets Manager and the Parameter Store, through Powertools. Importing this loads boto3 (0.4 s): `secrets` does so
when the first secret is read."""

from __future__ import annotations

from functools import lru_cache

from aws_lambda_powertools.utilities.parameters import GetParameterError, SecretsProvider, SSMProvider
from botocore.config import Config

__all__ = ["GetParameterError", "read"]

# Seconds for a connection and for a reply; a client waits meanwhile.
TIMEOUT_S = 2.0


def read(store: str, name: str) -> object:
    """The secret as the store has it now. Raises GetParameterError."""
    if store == "ssm":
        return parameters().get(name, max_age=0, force_fetch=True, decrypt=True)
    return secrets_manager().get(name, max_age=0, force_fetch=True)


@lru_cache
def secrets_manager() -> SecretsProvider:
    return SecretsProvider(boto_config=Config(connect_timeout=TIMEOUT_S, read_timeout=TIMEOUT_S))


@lru_cache
def parameters() -> SSMProvider:
    return SSMProvider(boto_config=Config(connect_timeout=TIMEOUT_S, read_timeout=TIMEOUT_S))
