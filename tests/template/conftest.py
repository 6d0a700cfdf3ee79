"""The template as it stands, and as SAM makes it: the resources that CloudFormation gets."""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse

ROOT = Path(__file__).parents[2]


class NoManagedPolicies:
    """Stands for the list of AWS's managed policies that SAM would ask IAM for: no function here names one."""

    def load(self) -> dict[str, str]:
        return {}

    def get_bundled_managed_policy_map(self) -> dict[str, str]:
        return {}


@dataclass(frozen=True)
class Template:
    source: dict[str, Any]
    resources: dict[str, Any]

    def of_type(self, kind: str, *, source: bool = False) -> dict[str, dict[str, Any]]:
        """The properties of all resources of this type, by logical id."""
        found = self.source["Resources"] if source else self.resources
        return {name: one["Properties"] for name, one in found.items() if one["Type"] == kind}

    @property
    def functions(self) -> dict[str, dict[str, Any]]:
        return self.of_type("AWS::Serverless::Function", source=True)

    def variables(self, function: str, **parameters: str) -> dict[str, Any]:
        """The function's environment with the parameters' defaults, or those given."""
        found = self.resources[function]["Properties"]["Environment"]["Variables"]
        return {name: self.resolve(value, parameters) for name, value in found.items()}

    def resolve(self, value: Any, parameters: dict[str, str]) -> Any:
        """What CloudFormation makes of it; a resource's reference becomes its logical id."""
        if not isinstance(value, dict):
            return value
        [(function, argument)] = value.items()
        if function == "Ref":
            return parameters.get(argument, str(self.default(argument)))
        if function == "Fn::If":
            condition, yes, no = argument
            return self.resolve(yes if self.holds(condition, parameters) else no, parameters)
        if function == "Fn::Sub":
            return re.sub(r"\$\{(\w+)\}", lambda match: self.resolve({"Ref": match[1]}, parameters), argument)
        return self._of_lists(function, [self.resolve(one, parameters) for one in argument], parameters)

    def _of_lists(self, function: str, argument: list[Any], parameters: dict[str, str]) -> Any:
        if function == "Fn::FindInMap":
            name, first, second = argument
            return self.source["Mappings"][name][first][second]
        if function == "Fn::Split":
            return argument[1].split(argument[0])
        if function == "Fn::Select":
            return argument[1][argument[0]]
        assert function == "Fn::Join", function
        parts = argument[1] if isinstance(argument[1], list) else [argument[1]]
        return argument[0].join(self.resolve(one, parameters) for one in parts)

    def default(self, name: str) -> Any:
        return self.source["Parameters"][name]["Default"] if name in self.source["Parameters"] else name

    def holds(self, condition: str, parameters: dict[str, str]) -> bool:
        """All conditions here have the form: this is, or is not, that value; or one of these conditions holds."""
        [(function, argument)] = self.source["Conditions"][condition].items()
        if function == "Fn::Or":
            return any(self.holds(one["Condition"], parameters) for one in argument)
        if function == "Fn::Not":
            [(function, argument)] = argument[0].items()
            return self.resolve(argument[0], parameters) != argument[1]
        assert function == "Fn::Equals"
        return self.resolve(argument[0], parameters) == argument[1]


@pytest.fixture(scope="session")
def template() -> Template:
    source = yaml_parse((ROOT / "template.yaml").read_text())
    packaged = copy.deepcopy(source)
    for resource in packaged["Resources"].values():
        for place in ("CodeUri", "ContentUri"):
            if place in resource.get("Properties", {}):
                resource["Properties"][place] = "s3://bucket/key"
    with pytest.MonkeyPatch.context() as patch:
        # The translator asks boto3 for the partition's region.
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        return Template(source, transform(packaged, {}, NoManagedPolicies())["Resources"])
