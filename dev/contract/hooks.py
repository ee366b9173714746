"""Tells the contract tester what a description cannot express.

These checks replace its own:
- a 5xx is a failure, except for the documented answer that a position has not been reached;
- a request that fits the description is accepted, unless the state of the platform forbids it (a rejection), or one of the
  few rules below, which no schema can express, does;
- a batch that does not fit is refused or, if it is not atomic, its invalid commands are.
"""

import re
import uuid

import schemathesis

# The tester's own checks know neither stable codes nor rejections: contract.toml disables them.
SHAPE = {
    "malformed_json",
    "validation_failed",
    "idempotency_key_missing",
    "idempotency_key_invalid",
    "precondition_malformed",
    "unsupported_media_type",
    "method_not_allowed",
    "not_found",
}


def code(response):
    try:
        return response.json().get("code")
    except Exception:
        return None


@schemathesis.hook
def before_call(context, case, kwargs):
    """Each request is a separate intent and gets its own key. A key that is deliberately invalid or missing stays so."""
    key = (case.headers or {}).get("Idempotency-Key")
    if key and 1 <= len(key) <= 255 and all("!" <= letter <= "~" for letter in key):
        case.headers["Idempotency-Key"] = str(uuid.uuid4())


# They have the form of ids, but are refused.
NOBODY = ("00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff")


def against_a_rule(case):
    """Whether the request breaks a rule that no schema can express, or one that the tester itself ignores."""
    path, query = case.operation.path, case.query or {}
    for parameter in case.operation.headers:
        pattern = (parameter.definition.get("schema") or {}).get("pattern")
        value = (case.headers or {}).get(parameter.name)
        if pattern and value is not None and not re.search(pattern, str(value)):
            return True
    if case.operation.method.upper() != "GET":
        return False
    if str((case.path_parameters or {}).get("account", "")).lower().endswith(NOBODY):
        return True
    if "Wallex-Min-Position" in (case.headers or {}):
        # Which partitions exist depends on the platform.
        return True
    if path == "/v1/wallets":
        return ("owner" in query) == ("external_id" in query)
    if path == "/v1/ledger/postings":
        return ("account" in query) == ("transaction_id" in query)
    if path == "/v1/wallets/{id}":
        return "consistency" in query and "at" in query
    # The names of the checks differ by role.
    return path == "/health/{check}"


@schemathesis.check
def no_server_error(context, response, case):
    if response.status_code >= 500 and code(response) != "position_not_reached":
        raise AssertionError(f"{response.status_code}: {response.text[:500]}")


@schemathesis.check
def what_fits_is_accepted(context, response, case):
    mode = case.meta.generation.mode if case.meta else None
    if mode is None or not mode.is_positive or response.status_code < 400 or code(response) not in SHAPE:
        return
    if against_a_rule(case):
        return
    problem = response.json()
    errors = problem.get("errors") or []
    # Depth, size and numbers of metadata, currencies that this platform does not have, the version of a wallet that is being
    # created, periods that end before they begin, names of types, cursors without their filters: values that a schema
    # cannot judge.
    beyond = ("/currency", "/expected_version", "from", "to", "at", "type", "cursor")
    # To a schema, 1.0 is an integer, but Wallex accepts no floats; the nil UUID has the form of a UUID; and a change that
    # changes nothing has all the fields it must have.
    details = ("without a decimal point", "neither the nil nor the max one", "at least one of owner")
    errors = [error for error in errors if not any(detail in error.get("detail", "") for detail in details)]
    if problem.get("errors") and not errors:
        return
    places = [error.get("pointer") or error.get("parameter") or "" for error in errors]
    if places and all(place.endswith(beyond) or "/metadata" in place for place in places):
        return
    raise AssertionError(f"fits the description, and got {response.status_code}: {response.text[:500]}")


@schemathesis.check
def a_batch_that_does_not_fit_is_refused(context, response, case):
    mode = case.meta.generation.mode if case.meta else None
    if case.operation.path != "/v1/batches" or mode is None or mode.is_positive or response.status_code >= 400:
        return
    body = response.json()
    if case.body.get("atomic") is not False or body["rejected"] < 1:
        raise AssertionError(f"does not fit the description, and got {response.status_code}: {response.text[:500]}")
