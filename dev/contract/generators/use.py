"""Uses the Python client of OpenAPI Generator: builds a request, and parses every example of the description as the client's
type for it. Also checks each example against its schema, including patterns and formats."""

import json
import sys

import jsonschema
import openapi_client
from openapi_client import models

description = json.load(open(sys.argv[1]))
components = description["components"]

request = models.CreditWalletRequest(amount=250, external_id="psp-9041", metadata={"order": 4711})
assert json.loads(request.to_json()) == {"amount": 250, "external_id": "psp-9041", "metadata": {"order": 4711}}
assert callable(openapi_client.WalletsApi(openapi_client.ApiClient()).credit_wallet)


def read(schema, example):
    name = schema.get("$ref", "").rsplit("/", 1)[-1]
    # Strings, and objects without members, have no type of their own.
    if hasattr(models, name):
        value = getattr(models, name).from_json(json.dumps(example))
        # For a union: the actual variant.
        value = getattr(value, "actual_instance", value)
        assert value is not None and value.to_dict(), f"{name} cannot read {example}"


def fits(schema, example):
    validator = jsonschema.Draft202012Validator({**schema, "components": components}, format_checker=jsonschema.FormatChecker())
    for error in validator.iter_errors(example):
        raise AssertionError(f"{schema}: {error.message} in {example}")


seen = 0
for path, methods in description["paths"].items():
    for method, operation in methods.items():
        contents = [operation.get("requestBody", {})] + list(operation["responses"].values())
        for content in (content for holder in contents for content in holder.get("content", {}).values()):
            schema = content["schema"]
            examples = [example["$ref"].rsplit("/", 1)[-1] for example in content.get("examples", {}).values()]
            examples = [components["examples"][name]["value"] for name in examples]
            examples += [content["example"]] if "example" in content else []
            examples += components["schemas"].get(schema.get("$ref", "").rsplit("/", 1)[-1], {}).get("examples", [])
            assert examples, f"{method} {path} has no example of {schema}"
            for example in examples:
                seen += 1
                fits(schema, example)
                read(schema, example)
        for parameter in operation.get("parameters", []):
            assert "example" in parameter, f"{method} {path} has no example of {parameter['name']}"
            fits(parameter["schema"], parameter["example"])
assert seen > 200, f"only {seen} examples were found: this check no longer sees them all"
