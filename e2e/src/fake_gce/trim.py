#!/usr/bin/env python3
"""Trims Google's discovery document for Compute v1 to what the fake serves.

    pip download --no-deps google-api-python-client==2.202.0
    python3 trim.py google_api_python_client-2.202.0-py3-none-any.whl > compute.v1.json

Kept: the methods of METHODS with their parameters, and every schema that their
requests and answers reach. Of a schema only what can be checked is kept. A field
is read-only when Google says so, by its mark or by its first words.

The document names `returnPartialSuccess` in the prose of list methods and leaves
it out of their parameters, as Google's Rust client does. It is added here, since
the prose asks for it.
"""

import json
import sys
import zipfile

DOCUMENT = "googleapiclient/discovery_cache/documents/compute.v1.json"
METHODS = {
    "addresses": ["aggregatedList", "delete"],
    "disks": ["aggregatedList", "delete", "get", "list"],
    "firewalls": ["delete", "get", "insert", "list", "patch"],
    "globalOperations": ["get", "wait"],
    "images": ["get", "getFromFamily"],
    "instances": [
        "aggregatedList", "delete", "get", "getSerialPortOutput", "insert", "list",
        "reset", "resume", "setLabels", "setMetadata", "simulateMaintenanceEvent", "start", "stop",
    ],
    "regions": ["get"],
    "snapshots": ["get"],
    "zoneOperations": ["get", "list", "wait"],
    "zones": ["get"],
}
KEPT_OF_PARAMETER = ["enum", "format", "location", "minimum", "maximum", "pattern", "required", "type"]
KEPT_OF_FIELD = ["$ref", "enum", "format", "pattern", "type"]


def field(raw):
    kept = {key: raw[key] for key in KEPT_OF_FIELD if key in raw}
    if raw.get("readOnly") or raw.get("description", "").startswith(("[Output Only]", "Output only.")):
        kept["readOnly"] = True
    if "properties" in raw:
        kept["properties"] = {name: field(value) for name, value in raw["properties"].items()}
    for inner in ("items", "additionalProperties"):
        if inner in raw:
            kept[inner] = field(raw[inner])
    return kept


def references(node):
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from references(value)


def method(raw):
    parameters = {
        name: {key: value[key] for key in KEPT_OF_PARAMETER if key in value}
        for name, value in raw["parameters"].items()
    }
    if raw["id"].rsplit(".", 1)[1] in ("list", "aggregatedList"):
        parameters["returnPartialSuccess"] = {"location": "query", "type": "boolean"}
    kept = {"httpMethod": raw["httpMethod"], "path": raw["path"], "parameters": parameters}
    for body in ("request", "response"):
        if body in raw:
            kept[body] = raw[body]["$ref"]
    return kept


def main():
    with zipfile.ZipFile(sys.argv[1]) as wheel:
        whole = json.loads(wheel.read(DOCUMENT))
    methods = {
        f"{resource}.{name}": method(whole["resources"][resource]["methods"][name])
        for resource, names in METHODS.items()
        for name in names
    }
    schemas = {}
    wanted = [body for m in methods.values() for body in (m.get("request"), m.get("response")) if body]
    while wanted:
        name = wanted.pop()
        if name not in schemas:
            schemas[name] = field(whole["schemas"][name])
            wanted.extend(references(schemas[name]))
    trimmed = {
        "from": f"{whole['id']} of {whole['revision']}, trimmed by trim.py",
        "basePath": whole["basePath"],
        "parameters": {name: {"type": value["type"]} for name, value in whole["parameters"].items()},
        "methods": methods,
        "schemas": dict(sorted(schemas.items())),
    }
    json.dump(trimmed, sys.stdout, indent=1)
    print()


main()
