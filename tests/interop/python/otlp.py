"""A collector that is not ours takes what PeerSox sends by OTLP: grpcio serves, PyPI's opentelemetry-proto decodes.

usage: otlp.py PATH-OF-PEERSOX
"""

import contextlib
import json
import os
import queue
import re
import socket
import subprocess
import sys
import tempfile
import threading
import urllib.request
from concurrent import futures
from pathlib import Path

import grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2
from opentelemetry.proto.trace.v1 import trace_pb2

PATIENCE = 60
TRACE, SPAN, STATE = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", "rojo=1,congo=t61"
PARENT = {"TRACEPARENT": f"00-{TRACE}-{SPAN}-01", "TRACESTATE": STATE}
UNSAMPLED = {"TRACEPARENT": f"00-{TRACE[::-1]}-{SPAN}-00"}
TOKEN = "3d" * 32
PAYLOAD = "what the two say to each other"


def main(binary):
    for check in [a_pair_is_one_trace, metrics_are_those_of_the_server, the_log_is_json,
                  a_collector_that_is_away, a_collector_that_hangs, nothing_is_sent_unless_asked]:
        with contextlib.ExitStack() as stack:
            check(Lab(binary, stack))
        print(f"  {check.__doc__} ok")


def a_pair_is_one_trace(lab):
    """Spans of control, relay and commands belong to the trace that TRACEPARENT names:"""
    collector = lab.collector()
    control, relay = lab.control(collector.environment("control")), lab.relay(collector.environment("relay"))
    code = lab.pair(control, collector.environment("client") | PARENT, PARENT)
    # A trace that is not sampled at its beginning is sampled nowhere.
    lab.pair(control, UNSAMPLED, UNSAMPLED)
    relay.end(), control.end()

    spans = collector.spans()
    runs = spans.pop("client")
    run, = runs
    assert run.name == "peersox connect" and run.parent_span_id.hex() == SPAN, run
    of_pair = {service: [it for it in spans[service] if it.trace_id.hex() == TRACE] for service in spans}
    assert not [it for it in spans["control"] + spans["relay"] if it.trace_id.hex() == TRACE[::-1]]
    parents = {SPAN, run.span_id.hex()}
    for span in [run] + sum(of_pair.values(), []):
        assert span.trace_id.hex() == TRACE and span.trace_state == STATE, span
        assert span is run or span.parent_span_id.hex() in parents, span
        assert not span.events and 0 < span.start_time_unix_nano <= span.end_time_unix_nano, span

    calls = {(it.name, it.parent_span_id.hex()): it for it in of_pair["control"]}
    service = "peersox.v1.PairingService"
    for method, parent in [("CreatePairing", run.span_id.hex()), ("JoinPairing", SPAN),
                           ("OpenSession", run.span_id.hex()), ("OpenSession", SPAN)]:
        call = calls[f"{service}/{method}", parent]
        assert call.kind == trace_pb2.Span.SPAN_KIND_SERVER, call
        assert attributes(call) == {"rpc.system": "grpc", "rpc.service": service, "rpc.method": method,
                                    "rpc.grpc.status_code": 0}, call
    # A watch ends when its caller leaves, and lasts until then.
    watch = calls[f"{service}/WatchPairing", run.span_id.hex()]
    assert attributes(watch)["rpc.grpc.status_code"] == 1, watch

    legs = of_pair["relay"]
    assert {it.parent_span_id.hex() for it in legs} == parents and len(legs) == 2, legs
    told = [attributes(leg) for leg in legs]
    assert {it["peersox.role"] for it in told} == {"initiator", "joiner"}, told
    assert len({it["peersox.session"] for it in told}) == 1, told
    for it in told:
        assert it["peersox.transport"] == "websocket" and "(40" in it["peersox.close"], it
        assert it["peersox.frames"] > 0 and it["peersox.bytes"] > len(PAYLOAD), it
        assert len(it) == 7, it
    bridges = [it for it in spans["relay"] if it.name == "peersox.v1.DirectoryService/Announce"]
    assert bridges and bridges[0].kind == trace_pb2.Span.SPAN_KIND_CLIENT, spans["relay"]
    announced = [it for it in spans["control"] if it.name == "peersox.v1.DirectoryService/Announce"]
    assert announced, spans["control"]

    secrets = [code, *code.split("-"), TOKEN, PAYLOAD, "eyJ", "127.0.0.1"]
    for sent in collector.raw():
        for secret in secrets:
            assert secret.encode() not in sent, f"{secret} was sent"


def metrics_are_those_of_the_server(lab):
    """Metrics have the names and values of /metrics:"""
    collector = lab.collector()
    control, relay = lab.control(collector.environment("control")), lab.relay(collector.environment("relay"))
    lab.pair(control)
    for name, server in [("control", control), ("relay", relay)]:
        def equals(metrics, server=server, name=name):
            # What is counted goes on a little after the pair has ended.
            return lasting(metrics.get(name, {})) == lasting(server.metrics())
        collector.wait_for(equals)
    sent = collector.metrics()
    assert any(name.startswith("process_cpu") for name, _ in sent["relay"]), sent
    assert sent["control"] != sent["relay"]
    assert sum(sent["relay"].values()) > 0 and sum(sent["control"].values()) > 0, sent
    control.end()


def lasting(metrics):
    """Those that stay as they are between two looks."""
    return {key: value for key, value in metrics.items()
            if not key[0].startswith("process_") and key[0] != "peersox_connections"}


def the_log_is_json(lab):
    """Each line of the log is an object, and names its trace:"""
    collector = lab.collector()
    flags = ["--log-format", "json", "--log", "debug"]
    server = lab.serve(collector.environment("all"), *flags)
    lab.pair(server, PARENT, PARENT)
    server.end()
    lines = [json.loads(line) for line in server.said()]
    events = [line.get("event") for line in lines]
    assert "ready" in events and "stopping" in events, events
    traced = {line["message"] for line in lines if line.get("trace_id") == TRACE}
    assert {"created", "joined", "leg attached"} <= traced, traced
    plain = {line["message"] for line in lines if "message" in line and "trace_id" not in line}
    assert "listening" in plain, plain


def a_collector_that_is_away(lab):
    """A collector that is away disturbs nobody, and is told of once a minute:"""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        # Nobody listens there.
        endpoint = environment(taken.getsockname()[1])
        server = lab.serve(endpoint)
        for _ in range(3):
            lab.pair(server, endpoint)
        told = [server.says("the collector did not take") for _ in range(2)]
        assert {re.search('signal="(.*?)"', line)[1] for line in told} == {"traces", "metrics"}, told
        assert server.end() == 0
        assert sum("the collector did not take" in line for line in server.said()) == 2, server.said()


def a_collector_that_hangs(lab):
    """A collector that takes connections and never answers delays no end beyond its bound:"""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        # The bound has to be ours: this is longer than any test waits.
        patient = {"OTEL_EXPORTER_OTLP_TIMEOUT": "3600000"}
        endpoint = environment(silent.getsockname()[1]) | patient
        server = lab.serve(endpoint)
        lab.pair(server, endpoint)
        connection, _ = silent.accept()
        assert server.end() == 0
        connection.close()


def nothing_is_sent_unless_asked(lab):
    """Nothing is sent where nothing asks for it, and what cannot be used is told:"""
    collector = lab.collector()
    for variables in [{}, {"OTEL_SERVICE_NAME": "x"},
                      collector.environment("x") | {"OTEL_SDK_DISABLED": "true"}]:
        server = lab.serve(variables)
        lab.pair(server, variables, variables)
        assert server.end() == 0
        assert not any("OTLP" in line for line in server.said())
    unusable = collector.environment("x") | {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}
    server = lab.serve(unusable)
    assert server.end() == 0
    assert sum("OTEL_EXPORTER_OTLP_PROTOCOL has to be grpc" in line for line in server.said()) == 2
    assert not collector.raw()


class Lab:
    """Starts what a check needs, and stops it when the check is over."""

    def __init__(self, binary, stack):
        self.binary, self.stack = binary, stack
        self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (self.folder / "token").write_text(TOKEN)
        (self.folder / "token").chmod(0o600)

    def collector(self):
        return Collector(self.stack)

    def serve(self, variables, *flags):
        server = Program(self, ["serve", "--listen", "127.0.0.1:0", "--unmetered", "127.0.0.0/8", *flags], variables)
        server.url = server.ready()
        return server

    def control(self, variables):
        self.at = port()
        control = self.serve(variables, "--role", "control", "--control-token-file", self.folder / "token",
                             "--metrics-listen", f"127.0.0.1:{self.at}")
        control.metrics_at = self.at
        self.control_url = control.url
        return control

    def relay(self, variables):
        here, metrics = port(), port()
        relay = Program(self, ["serve", "--listen", f"127.0.0.1:{here}", "--role", "relay", "--control",
                               self.control_url, "--control-token-file", self.folder / "token", "--public-url",
                               f"http://127.0.0.1:{here}", "--relay-name", "r1", "--metrics-listen", f"127.0.0.1:{metrics}",
                               "--unmetered", "127.0.0.0/8"], variables)
        relay.ready()
        relay.says("control knows this relay")
        relay.metrics_at = metrics
        return relay

    def pair(self, server, variables={}, other={}):
        """Two commands say something to each other over the relay; returns their code."""
        command = ["connect", "--json", "--server", server.url, "--transport", "ws", "--path", "relay"]
        here = Program(self, command, variables)
        code = here.event("code")["code"]
        there = Program(self, [*command, code], other)
        for program in here, there:
            program.event("connected")
        for program in here, there:
            program.process.stdin.write(PAYLOAD)
            program.process.stdin.close()
        for program in here, there:
            assert program.process.stdout.read() == PAYLOAD
            assert program.process.wait(PATIENCE) == 0, program.said()
        return code


class Program:
    """A command, and what it says."""

    def __init__(self, lab, command, variables):
        clean = {name: value for name, value in os.environ.items()
                 if not name.startswith("OTEL_") and name not in PARENT}
        self.process = subprocess.Popen(
            [lab.binary, *command], env=clean | variables, text=True, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        lab.stack.callback(self.process.kill)
        self.heard, self.lines = queue.Queue(), []
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stderr:
            self.lines.append(line)
            self.heard.put(line)
        self.heard.put(None)

    def says(self, words):
        """Waits for a line with these words; those before it are passed over."""
        while (line := self.heard.get(timeout=PATIENCE)) is not None:
            if words in line:
                return line
        raise AssertionError(f"it ended without {words}: {self.lines}")

    def event(self, name):
        return json.loads(self.says(f'"event":"{name}"'))

    def ready(self):
        """Where a server is."""
        line = self.says("eady")
        return re.search(r"http://[0-9.]+:[0-9]+", line)[0]

    def said(self):
        """All that it said, once it has ended."""
        self.reader.join(PATIENCE)
        return self.lines

    def end(self):
        self.process.terminate()
        return self.process.wait(PATIENCE)

    def metrics(self):
        """What `/metrics` shows, of counters and gauges."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_at}/metrics", timeout=PATIENCE) as answer:
            lines = answer.read().decode().splitlines()
        kinds = dict(line.split()[2:4] for line in lines if line.startswith("# TYPE"))
        simple = {name for name, kind in kinds.items() if kind in ("counter", "gauge")}
        found = {}
        for line in lines:
            if line.startswith("#"):
                continue
            name, labels, value = re.fullmatch(r"([a-z_0-9]+)(?:\{(.*)\})? ([^ ]+)", line).groups()
            if name in simple or name.removesuffix("_total") in simple:
                found[name, tuple(sorted(re.findall(r'(\w+)="([^"]*)"', labels or "")))] = float(value)
        return found


class Collector:
    """A server of OTLP that keeps the bytes of each request as they came."""

    def __init__(self, stack):
        self.came, self.changed = [], threading.Condition()
        server = grpc.server(futures.ThreadPoolExecutor(4))
        handlers = [self.handler(trace_service_pb2, "opentelemetry.proto.collector.trace.v1.TraceService", "Trace"),
                    self.handler(metrics_service_pb2, "opentelemetry.proto.collector.metrics.v1.MetricsService",
                                 "Metrics")]
        server.add_generic_rpc_handlers(handlers)
        self.port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        stack.callback(server.stop, None)

    def handler(self, module, service, signal):
        request, response = (getattr(module, f"Export{signal}Service{kind}") for kind in ("Request", "Response"))

        def export(sent, _context):
            with self.changed:
                self.came.append((sent, request.FromString(sent)))
                self.changed.notify_all()
            return response()

        method = grpc.unary_unary_rpc_method_handler(export, response_serializer=response.SerializeToString)
        return grpc.method_handlers_generic_handler(service, {"Export": method})

    def environment(self, service):
        return environment(self.port) | {"OTEL_SERVICE_NAME": service}

    def raw(self):
        with self.changed:
            return [sent for sent, _ in self.came]

    def decoded(self, field):
        with self.changed:
            return [it for _, request in self.came for it in getattr(request, field, [])]

    def spans(self):
        """All spans that came, by service."""
        found = {}
        for resource in self.decoded("resource_spans"):
            of = found.setdefault(attributes(resource.resource)["service.name"], [])
            of.extend(span for scope in resource.scope_spans for span in scope.spans)
        return found

    def metrics(self):
        """The latest value of each counter and gauge, by service."""
        found = {}
        for resource in self.decoded("resource_metrics"):
            of = found[attributes(resource.resource)["service.name"]] = {}
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    kind = metric.WhichOneof("data")
                    if kind == "sum":
                        assert metric.sum.is_monotonic and metric.sum.aggregation_temporality == 2, metric
                    for point in getattr(metric, kind).data_points if kind in ("sum", "gauge") else []:
                        assert 0 < point.start_time_unix_nano < point.time_unix_nano, metric
                        of[metric.name, tuple(sorted(attributes(point).items()))] = point.as_double
        return found

    def wait_for(self, condition):
        """Waits until a condition holds of the metrics that came; it is looked at whenever something came."""
        with self.changed:
            assert self.changed.wait_for(lambda: condition(self.metrics()), PATIENCE), self.metrics()


def attributes(of):
    return {it.key: getattr(it.value, it.value.WhichOneof("value")) for it in of.attributes}


def environment(collector):
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector}", "OTEL_BSP_SCHEDULE_DELAY": "50",
            "OTEL_METRIC_EXPORT_INTERVAL": "50"}


def port():
    """A port of this machine on which nobody listens now."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


if __name__ == "__main__":
    main(*sys.argv[1:])
