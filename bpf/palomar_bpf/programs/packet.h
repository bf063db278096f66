/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* From the bytes of a packet to what connection tracking needs to know of it.
 *
 * tc programs read with bpf_skb_load_bytes, because headers need not lie in the linear part of an
 * skb; tracepoints may not call it, and read the linear part only.
 * Sources of the formats: RFC 791, 8200, 4302, 9293, 768, 9260, 792, 4443; IEEE 802.1Q.
 */

#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>

#define VLAN_TAGS_MAX 2
#define IPV6_EXTENSIONS_MAX 8

#define ARPHRD_ETHER 1
#define ARPHRD_LOOPBACK 772

#define FRAGMENT_OFFSET_IPV4 0x1fff
#define FRAGMENT_OFFSET_IPV6 0xfff8

/* linux/icmp.h cannot be had: it includes headers of the C library. */
#define ICMP_ECHO_REPLY 0
#define ICMP_DEST_UNREACHABLE 3
#define ICMP_SOURCE_QUENCH 4
#define ICMP_REDIRECT 5
#define ICMP_ECHO_REQUEST 8
#define ICMP_TIME_EXCEEDED 11
#define ICMP_PARAMETER_PROBLEM 12
#define ICMPV6_INFORMATIONAL 128 /* errors are below */
#define ICMPV6_ECHO_REQUEST 128
#define ICMPV6_ECHO_REPLY 129

#define TCP_FLAGS_AT 13
#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_ACK 0x10

/* What a packet says about who opened its connection. */
#define OPENS 1     /* its sender, now: SYN */
#define ANSWERS 2   /* its receiver: SYN+ACK, echo reply */
#define FIRST 3     /* its sender, if nothing was seen before: UDP, echo request, others */
#define NO_OPENER 4 /* nothing: TCP in mid-stream, later fragments */
#define ERROR 5     /* it is an ICMP error about another connection */

struct endpoint_address {
    u64 address[2]; /* network byte order; IPv4 mapped into ::ffff:0:0/96 */
    u16 port;       /* network byte order; 0 where there is none */
};

struct packet {
    struct endpoint_address source;
    struct endpoint_address destination;
    u16 ethertype; /* host byte order, behind all VLAN tags */
    u8 protocol;
    u8 tcp_flags;
    u8 opening; /* 0: not an IP packet, or one cut short */
    u8 version; /* of IP; 0: without a whole header of it */
};

/* Devices whose packets begin with an Ethernet header; the loopback device's do, too. */
static __always_inline bool is_ethernet(u16 device_type) {
    return device_type == ARPHRD_ETHER || device_type == ARPHRD_LOOPBACK;
}

/* Where the bytes of a packet are to be had. */
struct view {
    struct __sk_buff *skb; /* NULL: in kernel memory, as follows */
    void *start;
    u32 length;
};

/* Copy `size` bytes at offset `at`; less than 0 where the packet does not have them. */
static __always_inline long load(const struct view *view, u32 at, void *to, u32 size) {
    if (view->skb)
        return bpf_skb_load_bytes(view->skb, at, to, size);
    if (at + size > view->length)
        return -1;
    return read_kernel(to, size, view->start + at);
}

/* Find the ethertype and return where the network header starts, or -1. */
static __always_inline int parse_ethernet(const struct view *view, struct packet *packet) {
    int at = 2 * ETH_ALEN;
    __be16 type = 0;

#pragma unroll
    for (int tag = 0; tag <= VLAN_TAGS_MAX; tag++) {
        if (load(view, at, &type, sizeof(type)) < 0)
            return -1;
        at += sizeof(type);
        if (type != bpf_htons(ETH_P_8021Q) && type != bpf_htons(ETH_P_8021AD))
            break;
        at += sizeof(type); /* the tag's identifier; another type follows */
    }
    packet->ethertype = bpf_ntohs(type);
    return at;
}

static __always_inline bool is_icmp_error(bool v6, u8 type) {
    if (v6)
        return type < ICMPV6_INFORMATIONAL;
    return type == ICMP_DEST_UNREACHABLE || type == ICMP_SOURCE_QUENCH || type == ICMP_REDIRECT ||
           type == ICMP_TIME_EXCEEDED || type == ICMP_PARAMETER_PROBLEM;
}

static __always_inline void parse_icmp(const struct view *view, int at, struct packet *packet) {
    struct {
        u8 type;
        u8 code;
        __be16 checksum;
        __be16 id;
    } icmp = {};
    bool v6 = packet->protocol == IPPROTO_ICMPV6;

    if (load(view, at, &icmp, sizeof(icmp)) < 0)
        return;
    packet->opening = FIRST;
    /* The id stands at the requester's side, so that a ping to oneself has two directions. */
    if (icmp.type == (v6 ? ICMPV6_ECHO_REQUEST : ICMP_ECHO_REQUEST)) {
        packet->source.port = icmp.id;
    } else if (icmp.type == (v6 ? ICMPV6_ECHO_REPLY : ICMP_ECHO_REPLY)) {
        packet->destination.port = icmp.id;
        packet->opening = ANSWERS;
    } else if (is_icmp_error(v6, icmp.type)) {
        packet->opening = ERROR;
    }
}

static __always_inline void parse_transport(const struct view *view, int at, struct packet *packet) {
    __be16 ports[2] = {};

    if (packet->protocol == IPPROTO_ICMP || packet->protocol == IPPROTO_ICMPV6) {
        parse_icmp(view, at, packet);
        return;
    }
    if (packet->protocol != IPPROTO_TCP && packet->protocol != IPPROTO_UDP &&
        packet->protocol != IPPROTO_SCTP) {
        packet->opening = FIRST;
        return;
    }
    if (load(view, at, ports, sizeof(ports)) < 0)
        return;
    packet->source.port = ports[0];
    packet->destination.port = ports[1];
    if (packet->protocol != IPPROTO_TCP) {
        packet->opening = FIRST;
        return;
    }
    if (load(view, at + TCP_FLAGS_AT, &packet->tcp_flags, 1) < 0)
        return;
    if (!(packet->tcp_flags & TCP_SYN))
        packet->opening = NO_OPENER;
    else
        packet->opening = packet->tcp_flags & TCP_ACK ? ANSWERS : OPENS;
}

static __always_inline void map_ipv4(struct endpoint_address *endpoint, __be32 address) {
    __be32 mapped[2] = {bpf_htonl(0xffff), address};

    __builtin_memcpy(&endpoint->address[1], mapped, sizeof(mapped));
}

static __always_inline void parse_ipv4(const struct view *view, int at, struct packet *packet) {
    struct iphdr ip = {};

    if (load(view, at, &ip, sizeof(ip)) < 0 || ip.version != 4 || ip.ihl < 5)
        return;
    packet->version = 4;
    map_ipv4(&packet->source, ip.saddr);
    map_ipv4(&packet->destination, ip.daddr);
    packet->protocol = ip.protocol;
    if (ip.frag_off & bpf_htons(FRAGMENT_OFFSET_IPV4))
        packet->opening = NO_OPENER;
    else
        parse_transport(view, at + ip.ihl * 4, packet);
}

static __always_inline void parse_ipv6(const struct view *view, int at, struct packet *packet) {
    struct ipv6hdr ip = {};
    struct {
        u8 next;
        u8 length;
        __be16 fragment_offset;
    } header = {};
    bool later_fragment = false;

    if (load(view, at, &ip, sizeof(ip)) < 0 || ip.version != 6)
        return;
    packet->version = 6;
    __builtin_memcpy(packet->source.address, &ip.saddr, 16);
    __builtin_memcpy(packet->destination.address, &ip.daddr, 16);
    packet->protocol = ip.nexthdr;
    at += sizeof(ip);
#pragma unroll
    for (int i = 0; i < IPV6_EXTENSIONS_MAX; i++) {
        u8 kind = packet->protocol;

        if (kind != IPPROTO_HOPOPTS && kind != IPPROTO_ROUTING && kind != IPPROTO_FRAGMENT &&
            kind != IPPROTO_DSTOPTS && kind != IPPROTO_AH && kind != IPPROTO_MH)
            break;
        if (later_fragment || load(view, at, &header, sizeof(header)) < 0)
            break;
        packet->protocol = header.next;
        if (kind == IPPROTO_FRAGMENT) {
            later_fragment = header.fragment_offset & bpf_htons(FRAGMENT_OFFSET_IPV6);
            at += 8;
        } else if (kind == IPPROTO_AH) {
            at += (header.length + 2) * 4;
        } else {
            at += (header.length + 1) * 8;
        }
    }
    if (later_fragment)
        packet->opening = NO_OPENER;
    else
        parse_transport(view, at, packet);
}

/* Fill a zeroed `packet`. `ethernet`: the bytes begin with an Ethernet header, else with the network
 * header that `ethertype` tells.
 */
static __always_inline void parse(const struct view *view, bool ethernet, u16 ethertype,
                                  struct packet *packet) {
    int at = 0;

    if (ethernet)
        at = parse_ethernet(view, packet);
    else
        packet->ethertype = ethertype;
    if (at < 0)
        return;
    if (packet->ethertype == ETH_P_IP)
        parse_ipv4(view, at, packet);
    else if (packet->ethertype == ETH_P_IPV6)
        parse_ipv6(view, at, packet);
}
