"""What schemathesis must know of this service: what a page is, and what counts as found."""

import re
from dataclasses import replace
from pathlib import Path

import schemathesis
from graphql import ArgumentNode, FieldNode, IntValueNode, NameNode, NullValueNode, Visitor, visit

RUNBOOK = Path(__file__).parents[2] / "docs" / "runbook.md"
KNOWN = set(re.findall(r"^#+ `?([A-Z][A-Z_]+)`?$", RUNBOOK.read_text(), re.M))
OURS = {"INTERNAL_SERVER_ERROR", "UNAVAILABLE"}


class Pages(Visitor):
    """Gives most lists a size that is allowed: nearly every document would end at the first list otherwise."""

    def leave_field(self, node: FieldNode, *_):
        first = next((one for one in node.arguments if one.name.value == "first"), None)
        if first is None:
            return None
        if not isinstance(first.value, IntValueNode | NullValueNode):
            return None
        size = int(first.value.value) if isinstance(first.value, IntValueNode) else 10
        if size % 10 == 7:
            return None
        others = [one for one in node.arguments if one.name.value not in ("first", "last", "before")]
        first = ArgumentNode(name=NameNode(value="first"), value=IntValueNode(value=str(size % 101)))
        return replace(node, arguments=(*others, first))


@schemathesis.hook
def map_body(context, body):
    return visit(body, Pages())


@schemathesis.check
def errors_are_the_clients_and_say_so(ctx, response, case):
    """Whatever is asked, the answer is GraphQL, and an error is one of the runbook's that is not our fault."""
    assert response.status_code in (200, 400), f"status {response.status_code}"
    answer = response.json()
    errors = answer.get("errors", [])
    assert "data" in answer or errors, "neither data nor errors"
    for error in errors:
        code = error.get("extensions", {}).get("code")
        assert code in KNOWN, f"the runbook has no heading {code}: {error['message']}"
        assert code not in OURS, f"{code}: {error['message']}"
    assert response.elapsed < 5, f"it took {response.elapsed} seconds"
