"""The events and fields of the audit log, with the texts of their reference page."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from attrs import frozen

SCHEMA = 1
"""The value of the field `schema`: a number that changes when a field changes its name or its meaning."""

ENVELOPE = frozenset({"schema", "timestamp", "event", "seq", "prev", "writer", "sum"})
"""The fields that the audit log itself adds to every line or to a sealed line."""

EVENTS: Mapping[str, str] = MappingProxyType(
    {
        "end": "A request has ended, successfully or not.",
        "open": "A tunnel has been open for 2 seconds; its `end` follows. Counts and durations are those so far.",
        "refused": "A request was refused.",
        "repeated": "Requests that were not admitted and are counted, because one like them has a line already.",
        "loss": "Lines were lost before this line.",
        "start": "The supervisor opened this audit log.",
        "stop": "The supervisor stopped in order; the last line of its run.",
        "reload": "The configuration was reloaded.",
        "reopen": "The file was reopened: the last line of the old file and the first line of the new file.",
    }
)


@frozen
class Field:
    """One field of the lines about requests.

    Attributes:
        meaning: one or two sentences.
        otel: the attribute of the OpenTelemetry semantic conventions with this meaning, or the field of an
            OpenTelemetry log record; "" where there is none.
        ecs: the field of the Elastic Common Schema with this meaning; "" where there is none.
    """

    meaning: str
    otel: str = ""
    ecs: str = ""


FIELDS: Mapping[str, Field] = MappingProxyType(
    {
        "schema": Field("Version of this list of fields: 1."),
        "timestamp": Field("Time of the event: RFC 3339, UTC, microseconds.", "Timestamp", "@timestamp"),
        "event": Field("`end`, `open`, `refused` or `repeated`.", "EventName", "event.action"),
        "request_id": Field(
            "Id of the request, unique within a supervisor; the answer to a refused request holds it.",
            ecs="http.request.id",
        ),
        "connection_id": Field("Id of the client connection, unique within a supervisor."),
        "listener": Field("Name of the listener in the configuration."),
        "client": Field("Key of the client."),
        "client_labels": Field("Labels of the client that rules may name, sorted."),
        "client_address": Field(
            "Address of the client; empty on a unix socket.",
            "client.address",
            "client.address",
        ),
        "client_port": Field("Port of the client; 0 on a unix socket.", "client.port", "client.port"),
        "request_form": Field("`http` (absolute form) or `connect`; empty where no request could be read."),
        "http_request_method": Field(
            "Request method, cut after 32 characters; `CONNECT` for a tunnel.",
            "http.request.method",
            "http.request.method",
        ),
        "server_address": Field(
            "Destination: the canonical host name or the address.", "server.address", "server.address"
        ),
        "server_port": Field(
            "Destination: the port; null in a refused target whose scheme has no port known to egress.",
            "server.port",
            "server.port",
        ),
        "url_path": Field(
            "Path, as much of it as the setting `paths` allows, never the query, cut after 256 characters; null for a "
            "tunnel.",
            "url.path",
            "url.path",
        ),
        "verdict": Field("`allow`, `deny`, or `none` where the request failed before every check had passed."),
        "policy": Field(
            "Name of the policy that decided; of a request that failed, the policy that had allowed it; `ssrf-guard` "
            "for the SSRF guard; or empty.",
            "security_rule.ruleset.name",
            "rule.ruleset",
        ),
        "rule": Field("Name of that policy's rule, or empty.", "security_rule.name", "rule.name"),
        "reason": Field(
            "Reason of the decision or of the failure: one sentence, and the `message` of the rule that refused.",
            ecs="event.reason",
        ),
        "code": Field("Code of the refusal or failure; null where there was none.", "error.type", "error.code"),
        "detail": Field(
            "Details of a refusal or failure for operators, with addresses; null where there are none.",
            "error.message",
            "error.message",
        ),
        "upstream": Field("Label of the upstream; `direct` for none; null where the request was not admitted."),
        "upstream_level": Field(
            "Level of the cascade that chose the upstream: `refused`, `route`, `listener`, `system`, `environment` or "
            "`none`; null where no upstream was chosen."
        ),
        "upstream_source": Field(
            "Setting that chose the upstream; empty where no setting did and the route is direct; null where no "
            "upstream was chosen."
        ),
        "hops": Field("Names of the proxies of the route, nearest first."),
        "resolved_addresses": Field(
            "Addresses that the host name was resolved to and that were judged.", "dns.answers", "dns.resolved_ip"
        ),
        "address_check": Field(
            "`passed`; `none` where an upstream proxy resolves the name and no address was judged; null where the "
            "request was not admitted."
        ),
        "audit_mode": Field(
            "Decisions of policies in audit mode, which were not enforced: a list of `policy`, `rule` and `reason`."
        ),
        "config_generation": Field(
            "Generation of the configuration that judged; each reload increments it; null where the request was not "
            "admitted."
        ),
        "network_peer_address": Field(
            "Address that was dialled, of the origin or of the first proxy of the route; null where none was.",
            "network.peer.address",
            "destination.address",
        ),
        "tls_client_server_name": Field(
            "Server name of the ClientHello in a tunnel: null without a ClientHello, empty where the ClientHello has "
            "none.",
            "tls.client.server_name",
            "tls.client.server_name",
        ),
        "tls_client_retry_server_name": Field(
            "Server name of a second ClientHello, which an origin asks for with a HelloRetryRequest and serves: null "
            "without a second ClientHello, empty where it has none."
        ),
        "tls_client_ech": Field(
            "Whether a ClientHello in a tunnel has an encrypted ClientHello (ECH), or a decoy of one, so that another "
            "server name may count: true or false; null without a ClientHello."
        ),
        "http_response_status_code": Field(
            "Status of the answer that the client received; null where it received none.",
            "http.response.status_code",
            "http.response.status_code",
        ),
        "response_source": Field(
            "Who made that answer: `egress`, `origin`, `upstream` (an upstream proxy) or `unknown`; null where there "
            "was none."
        ),
        "client_bytes": Field("Octets of content that the client sent; heads are not counted.", ecs="client.bytes"),
        "server_bytes": Field("Octets of content that the client received; heads are not counted.", ecs="server.bytes"),
        "judge_ms": Field("Milliseconds of judging; null where the request was not admitted."),
        "resolve_ms": Field("Milliseconds of waiting for the resolver; null where there was no wait."),
        "dial_ms": Field("Milliseconds until the origin connection was established; null where none was dialled."),
        "wait_ms": Field(
            "Milliseconds from the last octet of the request to the first octet of the answer; null where there was no "
            "answer."
        ),
        "duration_ms": Field(
            "Milliseconds from the end of the request's head to this event.",
            ecs="event.duration",
        ),
        "cause": Field("Cause of the end; null while a tunnel continues."),
    }
)
"""Fields of the lines `end`, `open`, `refused` and `repeated`, in the order of the line."""

REPEATED_FIELDS: Mapping[str, Field] = MappingProxyType(
    {
        "count": Field("Number of requests that the line counts."),
        "first_request_id": Field("Id of the first of them; `request_id` is that of the last."),
        "first_timestamp": Field(
            "Time of the first of them, in the format of `timestamp`, which is the time of the last.", ecs="event.start"
        ),
    }
)
"""Further fields of the line `repeated`, after those."""
