/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* What the programs send to user space, and the maps they share with it.
 *
 * The structs must match their Python twins: `extension`, `trace_event` and `drop_event` those in
 * payload.py, `interface_ref`, `namespace_ref` and `counter` those next to whoever fills or reads
 * the map. All numbers are in native byte order; no struct has padding that is not named.
 */

#define EXT_VERSION 0x50

#define MESSAGE_DROP 1
#define MESSAGE_TRACE 4
#define DROP_SUBTYPE_KERNEL 255

#define POINT_TO_ENDPOINT 0
#define POINT_FROM_ENDPOINT 5
#define POINT_FROM_NETWORK 10
#define POINT_TO_NETWORK 11

#define TRACE_NEW 0
#define TRACE_ESTABLISHED 1
#define TRACE_REPLY 2
#define TRACE_RELATED 3
#define TRACE_UNKNOWN 5

#define CONNECTION_UNKNOWN 0
#define CONNECTION_NEW 1
#define CONNECTION_ESTABLISHED 2
#define CONNECTION_REPLY 3

/* Trace and drop messages have the same bits. */
#define MESSAGE_FLAG_IPV6 1
#define MESSAGE_FLAG_L3_DEVICE 2

#define EXTENSION_FLAG_TASK 1
#define EXTENSION_FLAG_L3 2

/* The part that Cilium's drop and trace messages share, and palomar's block behind their heads. */
struct message_head {
    u8 type;
    u8 subtype;
    u16 source;
    u32 hash;
    u32 len_orig;
    u16 len_cap;
    u8 version;
    u8 ext_version;
};

struct extension {
    u64 time_ns;
    u64 cgroup_id;
    u64 location;
    u32 netns;
    u32 tgid;
    u32 tid;
    u32 drop_reason;
    u8 connection_state;
    u8 flags;
    u16 ethertype;
    u32 packets;
    u64 bytes;
    char interface[16];
};

struct trace_event {
    struct message_head head;
    u32 src_label;
    u32 dst_label;
    u16 dst_id;
    u8 reason;
    u8 flags;
    u32 ifindex;
    struct extension extension;
};

struct drop_event {
    struct message_head head;
    u32 src_label;
    u32 dst_label;
    u32 dst_id;
    u16 line;
    u8 file;
    s8 ext_error;
    u32 ifindex;
    u8 flags;
    u8 pad[3];
    struct extension extension;
};

_Static_assert(sizeof(struct extension) == 72, "payload.EXTENSION");
_Static_assert(sizeof(struct trace_event) == 32 + 72, "payload.TRACE_HEAD and EXTENSION");
_Static_assert(sizeof(struct drop_event) == 40 + 72, "payload.DROP_HEAD and EXTENSION");

/* An interface that is observed. */
struct interface_ref {
    u16 endpoint_id; /* 0: not known yet */
    u8 endpoint;     /* 1: the host side of a veth towards a namespace */
    u8 pad;
};

/* A network namespace that has an endpoint or whose drops are wanted. */
struct namespace_ref {
    u16 endpoint_id;
    u8 watched;
    u8 pad;
};

/* BPF_PERF_OUTPUT makes one slot for each possible CPU. */
BPF_PERF_OUTPUT(events);
BPF_HASH(interfaces, u32, struct interface_ref, INTERFACES_MAX);
BPF_HASH(namespaces, u32, struct namespace_ref, INTERFACES_MAX);
BPF_HASH(ignored_reasons, u32, u8, 1024);
