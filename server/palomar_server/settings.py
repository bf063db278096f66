"""Settings of the daemon: one frozen object, checked once at start.

Flags, their help and the page of the documentation come from the fields and docstrings here
(`options`); `setting_sources` says where values may stand.
"""

from pathlib import Path
from socket import gethostname
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from palomar_bpf.reasons import DEFAULT_IGNORED
from palomar_server.hooks import DEFAULT_BUDGET_S
from palomar_server.monitor_socket import CLIENTS_MAX, QUEUE_BYTES_MAX, default_queue_events
from palomar_server.recording_settings import RecordingSettings
from palomar_server.ring import DEFAULT_MESSAGES_MAX_BYTES
from palomar_server.setting_types import (
    AnyAddress,
    DropReasons,
    EntryPointNames,
    FileMode,
    Globs,
    HeaderNames,
    HookNames,
    Labels,
    ListenAddress,
    Name,
    Pages,
    RingCapacity,
    SocketPath,
    Speed,
    TcpFlags,
)
from palomar_server.streams import DEFAULT_STREAMS_MAX, DEFAULT_STREAMS_MAX_PER_PEER

DEFAULT_TEXT = "default_text"
"""Key of a field's extra: what documentation says in place of a default that is made at start."""

_Count = Annotated[int, Field(ge=1)]
_Rate = Annotated[int, Field(ge=0, le=100_000_000)]
_EndpointCount = Annotated[int, Field(ge=1, le=65_535)]


class SettingsError(Exception):
    """Some settings are wrong.

    Args:
        lines: one for each: name, value, where it came from, what is allowed.
    """

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


class Settings(RecordingSettings):
    """All settings of palomard.

    Made from values by name, it looks at nothing else; `load_settings` looks at flags, environment
    and file.
    """

    socket: SocketPath = Path("/run/palomar/palomar.sock")
    """Unix socket to serve the API on. Default: below /run, which is gone after a restart, in a
    directory of its own, so that the directory's owner decides who may reach it."""
    socket_mode: FileMode = Field(default=0o660, json_schema_extra={DEFAULT_TEXT: "0660"})
    """Permissions of the socket, octal. Default 0660: its owner and group only, since flows tell
    who talks with whom."""
    listen: ListenAddress | None = None
    """HOST:PORT to serve the API on as well; loopback addresses only. Default: none, the socket
    serves local clients and has permissions."""
    monitor_socket: SocketPath = Field(
        default_factory=lambda values: values["socket"].with_name("monitor.sock"),
        json_schema_extra={DEFAULT_TEXT: "monitor.sock beside socket"},
    )
    """Unix socket to serve raw events on, by the protocol 1.2 of Cilium's monitor. Default:
    monitor.sock beside the API's socket, where `palomar monitor` looks; it costs nothing while
    nobody is connected."""
    monitor_socket_mode: FileMode = Field(default=0o600, json_schema_extra={DEFAULT_TEXT: "0600"})
    """Permissions of the monitor socket, octal. Default 0600: its owner only, since raw events hold
    bytes of packets."""
    monitor_clients_max: Annotated[int, Field(ge=0, le=4096)] = CLIENTS_MAX
    """Monitor clients at once; 0 for no monitor socket. Default 32: each may cost a full queue."""
    monitor_queue_events: Annotated[int, Field(ge=1, le=1 << 24)] = Field(
        default_factory=default_queue_events,
        json_schema_extra={DEFAULT_TEXT: "1,024 for each CPU, at most 16,384"},
    )
    """Events that may wait for one monitor client; more are lost to it, and it is told how many.
    Default: 1,024 for each CPU, at most 16,384, as in Cilium."""
    monitor_queue_bytes: _Count = QUEUE_BYTES_MAX
    """Bytes of events that may wait for one monitor client, likewise. Default 8 MiB: 16,384 events
    of 512 bytes."""
    interface: Globs = ()
    """Pattern of names of interfaces to observe; repeatable. Default: none, which stands for all
    veths and the devices of the default route, where pods' and the node's packets pass."""
    inventory: Path | None = None
    """YAML file of pods, services, CIDRs and names the machine cannot tell. Default: none."""
    node_name: Name = Field(
        default_factory=gethostname, json_schema_extra={DEFAULT_TEXT: "the host's name"}
    )
    """Name of this node in flows. Default: the host's name, by which Kubernetes knows a node
    unless told otherwise."""
    cluster_name: Name = "default"
    """Name of this node's cluster in flows. Default: "default", as in Cilium, which clients leave
    out of node names."""
    node_labels: Labels = ()
    """KEY=VALUE of a label of this node, in flows; repeatable. Default: none, since only who runs
    the node knows them."""
    ring_capacity: RingCapacity = 65_535
    """Events kept for clients, one less than a power of two. Default 65,535: the most there can
    be, some 10 MB, and minutes of a usual node."""
    ring_messages_max_bytes: _Count = DEFAULT_MESSAGES_MAX_BYTES
    """Bytes of what rows of the ring have no room for, beside it: records of applications, agent
    and debug events. More make the oldest go first. Default 64 MiB: each of a full ring's events
    may have 1 KiB, which few have."""
    record_events: Path | None = None
    """File to record all events in, for replay; must not exist yet. Default: none."""
    record_events_max_bytes: _Count = 1 << 30
    """Size in bytes at which recording events stops. Default 1 GiB: some four million events, and
    no surprise on the usual disk."""
    replay: Path | None = None
    """File of recorded events to take instead of the kernel's. Default: none."""
    speed: Speed = "recorded"
    """Pace of the replay: recorded, max, or events per second as in 1000/s. Default: recorded,
    which shows clients what they would have seen."""
    cilium_socket: SocketPath | None = None
    """Monitor socket of a Cilium agent to take events from, such as
    /var/run/cilium/monitor1_2.sock. Default: none, for nodes without Cilium."""
    live: bool = Field(
        default_factory=lambda values: not (values.get("replay") or values.get("cilium_socket")),
        json_schema_extra={DEFAULT_TEXT: "yes, unless replay or cilium_socket is given"},
    )
    """Capture from the kernel. Default: yes, unless there is another source: Cilium tells of the
    same packets; where both are wanted, say so."""
    capture: Literal["always", "on-demand"] = "always"
    """When to capture, from the kernel and from Cilium: always, or on-demand, only while a request
    follows, a monitor client is connected, events are recorded, or packets by what only flows tell.
    Default: always, so that clients can look back; on-demand costs nothing for each packet while
    nobody looks, some 20 ms for each interface when somebody comes, and the directions of
    connections opened before that."""
    snaplen_bytes: Annotated[int, Field(ge=64, le=60_000)] = 128
    """Bytes of each packet that an event carries. Default 128: room for the headers up to TCP, IP
    options and tags included. `palomar record` has whole packets whatever stands here."""
    pages_per_cpu: Pages = 64
    """Size of each CPU's perf ring in pages of memory, a power of two. Default 64, usually 256 KiB:
    a second of 1,000 events/s, and little enough on machines with many CPUs."""
    coalesce_max_s: Annotated[float, Field(ge=0, le=0.1)] = 0.015
    """Seconds that events of a busy node may wait for company; 0 for never. Default 0.015: people
    do not notice, and all events of 15 ms share the fixed costs of a batch."""
    coalesce_unwatched_max_s: Annotated[float, Field(ge=0, le=0.1)] = 0.03
    """The same while nobody waits for events: no request follows, no monitor client is connected.
    Default 0.03: what somebody asks for then is at most that old, and costs a third less CPU."""
    aggregation: Literal["none", "low", "medium"] = "medium"
    """How much the kernel sums up connections: none, low, or medium. Default: medium, where events
    are first packets, new TCP flags and one in an interval, which is what flows are needed for;
    with low, also each packet on its way to an endpoint or the network; with none, each packet."""
    aggregation_interval_s: Annotated[float, Field(ge=0, le=3600)] = 5.0
    """Seconds after which a connection with traffic is reported again. Default 5, as in Cilium."""
    aggregation_flags: TcpFlags = ("syn", "fin", "rst")
    """TCP flag that is reported at once when a connection first shows it; repeatable. Default:
    those that begin and end connections."""
    drops: Literal["all", "watched", "off"] = "all"
    """Which packets dropped by the kernel are reported: all, watched, or off. Default: all, since
    drops where nobody watches are those nobody finds; watched: only those at observed interfaces
    and in endpoints' namespaces."""
    ignored_drop_reasons: DropReasons = DEFAULT_IGNORED
    """Kernel drop reason that is not reported; repeatable, an empty one for none. Default: those
    that are no loss to anybody; a reason the kernel does not have does no harm."""
    attach_method: Literal["auto", "tcx", "clsact"] = "auto"
    """How programs get on interfaces: auto, tcx, or clsact. Default: auto, which is tcx, whose
    links end with the process, and clsact filters on kernels before 6.6."""
    trace_rate_per_cpu: _Rate = 200_000
    """Packet events per second on each CPU; 0 for no limit. More are withheld and counted. Default
    200,000: what one CPU can emit without noticeable harm to its traffic."""
    trace_burst_per_cpu: _Rate = 400_000
    """Packet events on each CPU that may exceed the rate at once. Default 400,000: two seconds'
    worth."""
    drop_rate_per_cpu: _Rate = 20_000
    """Drop events per second on each CPU; 0 for no limit. More are withheld and counted. Default
    20,000: tells all about an accident, and little of a flood that is dropped on purpose."""
    drop_burst_per_cpu: _Rate = 40_000
    """Drop events on each CPU that may exceed the rate at once. Default 40,000: two seconds'
    worth."""
    connections_max: Annotated[int, Field(ge=1, lt=1 << 24)] = 65_536
    """Connections the kernel remembers, for direction and aggregation. The one idle longest makes
    room. Default 65,536: some 19 MB of kernel memory."""
    interfaces_max: Annotated[int, Field(ge=1, lt=1 << 20)] = 4_096
    """Interfaces, and namespaces, that the kernel side can know. Default 4,096: ten times the pods
    of a big node."""
    netns_directory: Path = Path("/run/netns")
    """Directory of named network namespaces, which become endpoints. Default: that of `ip netns`
    and of most container runtimes."""
    netns_namespace: Name = "default"
    """Kubernetes namespace shown for named network namespaces. Default: "default", where kubectl
    puts what names none."""
    endpoints_max: _EndpointCount = 65_535
    """Endpoints known at once. Default 65,535: the most that the 16 bits in an event can tell
    apart."""
    endpoint_grace_s: Annotated[float, Field(ge=0, le=3600)] = 60.0
    """Seconds for which an endpoint that is gone still gives its addresses a name. Default 60: a
    connection's last packets come later than the end of its pod."""
    ip_tracing_option_type: Annotated[int, Field(ge=0, le=255)] = 0
    """Type of the IPv4 option that carries a trace id (RFC 791); 0: none does. Default 0, as in
    Cilium."""
    skip_unknown_cgroup_ids: bool = True
    """Leave out socket translations of cgroups that belong to no known pod. Default: yes, as in
    Cilium: those are the node's own processes."""
    redact: bool = False
    """Withhold what the other settings of this name say of requests and responses that Cilium's
    proxy tells. Default: no, as in Hubble; passwords in URLs are withheld in any case."""
    redact_http_query: bool = False
    """Withhold the query of URLs. Default: no."""
    redact_http_user_info: bool = True
    """Withhold the password of URLs. Default: yes; without, it is shown where redact is on."""
    redact_http_headers_allow: HeaderNames = ()
    """HTTP header whose value is shown, where all others' are withheld; repeatable. Default: none,
    where redact withholds the values of all."""
    redact_http_headers_deny: HeaderNames = ()
    """HTTP header whose value is withheld, where all others' are shown; repeatable. Default:
    none."""
    redact_kafka_api_key: bool = False
    """Withhold the API key of Kafka requests. Default: no."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severity that is logged: debug, info, warning, or error. Default: info, a few lines at
    start and end."""
    log_format: Literal["console", "json"] = "console"
    """Form of the log: console, for people, or json, an object a line. Default: console."""
    clients_max: _Count = 512
    """Clients connected to the API at once. Default 512: one that waits takes up to 100 KiB."""
    clients_max_per_peer: _Count = 256
    """Of these from one user or host, so that no one keeps out all. Default 256: half of them."""
    request_timeout_s: Annotated[float, Field(gt=0, le=3600)] = 10.0
    """Seconds a client has to send its request once it is connected. Default 10: a slow network."""
    streams_max: _Count = DEFAULT_STREAMS_MAX
    """Streams served at once. Default 1,024: one that waits takes some 20 KiB."""
    streams_max_per_peer: _Count = DEFAULT_STREAMS_MAX_PER_PEER
    """Of these from one user or host. Default 256: one client, or one broken one, leaves room for
    others; a portal's server is one."""
    queries_max: _Count = 4
    """Portal queries worked on at once. Default 4: they share one core with all streams."""
    batch_responses_max: _Count = 4_096
    """Responses in a batch of flows. Default 4,096: what a client holds at once."""
    batch_bytes_max: Annotated[int, Field(ge=1 << 10, le=3 << 20)] = 1 << 20
    """Bytes of responses in a batch. Default 1 MiB: a quarter of the 4 that gRPC clients take."""
    batch_delay_max_s: Annotated[float, Field(ge=0, le=10)] = 1.0
    """Seconds that a request may have flows held back to fill a batch. Default 1: a busy node
    overwrites its ring soon after."""
    filters_max: _Count = 64
    """Filters that a request may have. Default 64: a client that names both ends of a flow uses
    two."""
    filter_values_max: _Count = 1_000
    """Values that all filters of a request may have. Default 1,000: each costs time whenever events
    are looked at."""
    filter_expressions_max: _Count = 16
    """CEL expressions in a request. Default 16: each is evaluated for every flow that the other
    fields leave."""
    filter_patterns_max: _Count = 32
    """Regular expressions in a request. Default 32: to compile one takes up to some 10 ms."""
    hooks: HookNames = ()
    """MODULE:OBJECT of hooks to run events through, in order; repeatable. Default: none."""
    hook_entry_points: EntryPointNames = ("all",)
    """Which hooks of installed distributions to run (entry points palomar.hooks): all, none, or
    names; repeatable. Default: all, since who installs one beside palomard wants it."""
    hook_budget_s: Annotated[float, Field(gt=0, le=60)] = DEFAULT_BUDGET_S
    """Seconds a hook may take for a call before it is counted and logged by name. Default 0.05:
    what the kernel's ring holds at a high rate."""
    metrics_listen: AnyAddress | None = None
    """HOST:PORT to serve metrics on, at /metrics; any address, since they tell counts and not who
    talks with whom (hooks may add metrics that do). Default: none."""
    lost_event_interval_s: Annotated[float, Field(gt=0, le=3600)] = 1.0
    """Least seconds between two notices of loss in a stream. Default 1, as in Hubble."""
    shutdown_grace_s: Annotated[float, Field(ge=0, le=3600)] = 5.0
    """Seconds that streams get to end when the daemon is stopped. Default 5: well below the 30
    after which Kubernetes kills."""

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        others = [name for name in ("live", "cilium_socket") if getattr(self, name)]
        if self.replay is not None and others:
            raise ValueError(
                f"replay and {' and '.join(others)}: a recording is played alone, leave out either"
            )
        if self.monitor_clients_max and self.monitor_socket == self.socket:
            raise ValueError(
                f"monitor_socket and socket are both {self.socket}: each needs a path of its own"
            )
        if self.redact_http_headers_allow and self.redact_http_headers_deny:
            raise ValueError(
                "redact_http_headers_allow and redact_http_headers_deny: the one withholds all "
                "others, the other shows them, leave out either"
            )
        for kind in ("trace", "drop"):
            if getattr(self, f"{kind}_rate_per_cpu") and not getattr(self, f"{kind}_burst_per_cpu"):
                raise ValueError(f"{kind}_burst_per_cpu: 0 beside a rate would let nothing pass")
        return self
