// SPDX-License-Identifier: MIT OR Apache-2.0
//
// Relays the datagrams of bound TURN channels (RFC 8656 §12) at the ingress of an interface (TCX).
// It leaves everything it does not know exactly: TCX_NEXT lets the packet continue to the sockets
// of the server, which relays it or not.
//
// User space lists in `flows` what is relayed, and until when. Nothing is decided here about
// allocations, permissions and channels. Map entries have the layout of ../src/layout.rs.

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>

#define SECTION(name) __attribute__((section(name), used))
#define INLINE static inline __attribute__((always_inline))
#define net16(x) ((__be16)__builtin_bswap16(x))
#define host16(x) ((__u16)__builtin_bswap16(x))

// The headers of Debian 12 are older than these constants (kernel 6.6).
#define TCX_NEXT -1
#define TCX_DROP 2
#define TCX_REDIRECT 7

#define FAMILY_V4 2   // AF_INET
#define FAMILY_V6 10  // AF_INET6
#define FRAGMENTED 0x3fff  // more fragments, or an offset
#define DONT_FRAGMENT 0x4000
#define CHANNEL_HEADER 4
#define MAX_CHANNEL 0x4fff

static void *(*map_lookup)(void *, const void *) = (void *)BPF_FUNC_map_lookup_elem;
static __u64 (*ktime_coarse)(void) = (void *)BPF_FUNC_ktime_get_coarse_ns;
static __u32 (*random_u32)(void) = (void *)BPF_FUNC_get_prandom_u32;
static long (*load_bytes)(const struct __sk_buff *, __u32, void *, __u32) =
	(void *)BPF_FUNC_skb_load_bytes;
static long (*store_bytes)(struct __sk_buff *, __u32, const void *, __u32, __u64) =
	(void *)BPF_FUNC_skb_store_bytes;
static long (*adjust_room)(struct __sk_buff *, __s32, __u32, __u64) =
	(void *)BPF_FUNC_skb_adjust_room;
static long (*redirect_neigh)(__u32, struct bpf_redir_neigh *, int, __u64) =
	(void *)BPF_FUNC_redirect_neigh;

struct map {
	__u32 type, key_size, value_size, max_entries, flags;
};

// Source and destination; an IPv4 address takes the first word. All in network byte order.
struct addresses {
	__be32 from[4], to[4];
};

struct flow_key {
	struct addresses at;
	__be16 from_port, to_port;
	__be16 channel;  // 0: from a peer
	__u16 family;
};

struct flow {
	__u64 expires_ns;  // CLOCK_MONOTONIC
	struct addresses at;  // of the packet sent
	__be16 from_port, to_port;
	__be16 channel;  // 0: to a peer
	__u16 next_hop_family;
	__u32 next_hop[4];
	__u32 in_ifindex;   // interface it must arrive on
	__u32 out_ifindex;  // interface it leaves by
	__u32 slot;         // index of its counters
	__u32 mtu;          // of that interface, from the IP header on
};

struct traffic {
	__u64 to_peer_packets, to_peer_bytes, to_client_packets, to_client_bytes;
};

// Reasons why a packet of a known flow was left to user space.
enum left {
	LEFT_EXPIRED,
	LEFT_INTERFACE,
	LEFT_CHECKSUM,
	LEFT_TTL,
	LEFT_MTU,
	LEFT_ROOM,
	LEFT_REASONS,
};

// User space sets the real sizes when it loads the program.
struct map SECTION("maps") flows = {
	.type = BPF_MAP_TYPE_HASH,
	.key_size = sizeof(struct flow_key),
	.value_size = sizeof(struct flow),
	.max_entries = 2,
	.flags = BPF_F_NO_PREALLOC,
};
struct map SECTION("maps") traffic = {
	.type = BPF_MAP_TYPE_PERCPU_ARRAY,
	.key_size = sizeof(__u32),
	.value_size = sizeof(struct traffic),
	.max_entries = 1,
};
struct map SECTION("maps") left = {
	.type = BPF_MAP_TYPE_PERCPU_ARRAY,
	.key_size = sizeof(__u32),
	.value_size = sizeof(__u64),
	.max_entries = LEFT_REASONS,
};

// The part after the IP header. The first payload bytes are read as a ChannelData header; they are
// one only if the flow has a channel.
struct transport {
	struct udphdr udp;
	__be16 channel, length;
};

// A packet being relayed.
struct packet {
	struct __sk_buff *skb;
	struct flow *flow;
	__u32 ip_header;        // bytes
	__u16 payload;          // bytes of application data
	__s32 grows;            // bytes added, negative if removed
	struct addresses at;    // of the packet received
	struct transport *transport;
};

// All headers, to be written in one piece.
struct headers_v4 {
	struct iphdr ip;
	struct transport transport;
};
struct headers_v6 {
	struct ipv6hdr ip;
	struct transport transport;
};

INLINE int leave(__u32 reason)
{
	__u64 *count = map_lookup(&left, &reason);

	if (count)
		*count += 1;
	return TCX_NEXT;
}

// Sums of RFC 1071 are kept in 64 bits, over 16-bit or 32-bit words. To remove a word, its
// complement is added (RFC 1624).
INLINE __u64 sum_of(const struct addresses *at)
{
	__u64 sum = 0;

	for (int i = 0; i < 4; i++)
		sum += (__u64)at->from[i] + at->to[i];
	return sum;
}

INLINE __u64 sum_without(const struct addresses *at)
{
	__u64 sum = 0;

	for (int i = 0; i < 4; i++)
		sum += (__u64)(__u32)~at->from[i] + (__u32)~at->to[i];
	return sum;
}

INLINE __u64 without(__u16 word)
{
	return (__u16)~word;
}

INLINE __u16 fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (__u16)sum;
}

// Reads the part after the IP header and looks up the flow, usually without success. `length` is
// that of the datagram according to the IP header.
INLINE struct flow *find(struct packet *p, __u16 family, __u16 length)
{
	struct transport *t = p->transport;
	struct flow_key key = { .family = family };
	struct flow *flow;
	__u32 at = ETH_HLEN + p->ip_header;

	// Padded and truncated Ethernet frames are left to the sockets.
	if (p->skb->len != at + length)
		return 0;
	if (length >= sizeof(*t) ? load_bytes(p->skb, at, t, sizeof(*t))
				 : load_bytes(p->skb, at, &t->udp, sizeof(t->udp)))
		return 0;
	if (t->udp.len != net16(length) || length < sizeof(t->udp))
		return 0;
	key.at = p->at;
	key.from_port = t->udp.source;
	key.to_port = t->udp.dest;
	p->payload = length - sizeof(t->udp);
	if (p->payload >= CHANNEL_HEADER &&
	    (host16(t->channel) >> 12) == (MAX_CHANNEL >> 12) &&
	    host16(t->length) == p->payload - CHANNEL_HEADER) {
		key.channel = t->channel;
		flow = map_lookup(&flows, &key);
		if (flow) {
			p->payload -= CHANNEL_HEADER;
			p->grows = -CHANNEL_HEADER;
			return flow;
		}
		key.channel = 0;
	}
	p->grows = CHANNEL_HEADER;
	return map_lookup(&flows, &key);
}

// A sender on this machine, or in a neighbouring virtual machine, leaves the checksum to the device
// that puts the packet on a wire: then the field holds only the sum of the pseudo header, and the
// kernel remembers the place of the UDP header, which moves here. Nothing else shows it; one
// complete checksum in 65536 looks the same and takes the slow path too. A packet without a
// checksum (IPv4) has none to correct.
INLINE int has_checksum(struct packet *p)
{
	struct udphdr *udp = &p->transport->udp;

	return udp->check != 0 &&
	       udp->check != fold(sum_of(&p->at) + udp->len + net16(IPPROTO_UDP));
}

// Makes the new UDP header and, towards the client, the ChannelData header. The checksum is
// adjusted for everything it covers but the payload; the pseudo header contains the length, too.
INLINE void rewrite(struct packet *p, __be16 length)
{
	struct flow *flow = p->flow;
	struct udphdr *udp = &p->transport->udp;
	__u64 sum = without(udp->check);

	sum += sum_of(&flow->at) + sum_without(&p->at);
	sum += flow->from_port + without(udp->source);
	sum += flow->to_port + without(udp->dest);
	sum += 2 * (length + without(udp->len));
	if (p->grows > 0) {
		p->transport->channel = flow->channel;
		p->transport->length = net16(p->payload);
		sum += p->transport->channel + p->transport->length;
	} else {
		sum += without(p->transport->channel) + without(p->transport->length);
	}
	udp->source = flow->from_port;
	udp->dest = flow->to_port;
	udp->len = length;
	udp->check = ~fold(sum);
	if (udp->check == 0)
		udp->check = 0xffff;
}

// Checks that the flow may relay this packet now and makes the new UDP header.
INLINE int prepare(struct packet *p)
{
	struct flow *flow = p->flow;
	__u16 length = sizeof(struct udphdr) + p->payload + (p->grows > 0 ? CHANNEL_HEADER : 0);

	if (flow->expires_ns <= ktime_coarse())
		return leave(LEFT_EXPIRED);
	if (flow->in_ifindex != p->skb->ingress_ifindex)
		return leave(LEFT_INTERFACE);
	if (!has_checksum(p))
		return leave(LEFT_CHECKSUM);
	if (p->ip_header + length > flow->mtu)
		return leave(LEFT_MTU);
	rewrite(p, net16(length));
	return TCX_REDIRECT;
}

INLINE void account(struct packet *p)
{
	struct traffic *traffic_of = map_lookup(&traffic, &p->flow->slot);

	if (!traffic_of)
		return;
	if (p->grows < 0) {
		traffic_of->to_peer_packets += 1;
		traffic_of->to_peer_bytes += p->payload;
	} else {
		traffic_of->to_client_packets += 1;
		traffic_of->to_client_bytes += p->payload;
	}
}

// Lets the kernel add or remove bytes after the IP header, then writes all headers: `size` bytes
// with the ChannelData header, which only the client gets.
INLINE int send(struct packet *p, const void *headers, __u32 size)
{
	struct flow *flow = p->flow;
	struct bpf_redir_neigh hop = { .nh_family = flow->next_hop_family };
	struct __sk_buff *skb = p->skb;
	long failed;

	if (adjust_room(skb, p->grows, BPF_ADJ_ROOM_NET, 0))
		return leave(LEFT_ROOM);
	if (p->grows > 0)
		failed = store_bytes(skb, ETH_HLEN, headers, size, BPF_F_RECOMPUTE_CSUM);
	else
		failed = store_bytes(skb, ETH_HLEN, headers, size - CHANNEL_HEADER,
				     BPF_F_RECOMPUTE_CSUM);
	if (failed)
		return TCX_DROP;
	account(p);
	__builtin_memcpy(hop.ipv6_nh, flow->next_hop, sizeof(hop.ipv6_nh));
	return redirect_neigh(flow->out_ifindex, &hop, sizeof(hop), 0);
}

// Rewrites the IPv4 header and adjusts its checksum for the changed fields.
INLINE void rewrite_v4(struct iphdr *ip, struct packet *p)
{
	__be16 length = net16(host16(ip->tot_len) + p->grows);
	// The TTL is the first byte of its word.
	__u64 sum = without(ip->check) + without(net16(1 << 8));

	sum += sum_of(&p->flow->at) + sum_without(&p->at);
	sum += length + without(ip->tot_len);
	// DF is unchanged (RFC 8656 §14); only packets that may be fragmented need a new
	// identification.
	if (!(ip->frag_off & net16(DONT_FRAGMENT))) {
		__be16 id = random_u32();

		sum += id + without(ip->id);
		ip->id = id;
	}
	ip->saddr = p->flow->at.from[0];
	ip->daddr = p->flow->at.to[0];
	ip->tot_len = length;
	ip->ttl -= 1;
	ip->check = ~fold(sum);
}

INLINE int relay_v4(struct __sk_buff *skb)
{
	struct headers_v4 headers = {};
	struct iphdr *ip = &headers.ip;
	struct packet p = {
		.skb = skb,
		.ip_header = sizeof(*ip),
		.transport = &headers.transport,
	};

	if (load_bytes(skb, ETH_HLEN, ip, sizeof(*ip)))
		return TCX_NEXT;
	if (ip->protocol != IPPROTO_UDP || ip->version != 4 || ip->ihl != 5 ||
	    (ip->frag_off & net16(FRAGMENTED)) || host16(ip->tot_len) < sizeof(*ip))
		return TCX_NEXT;
	p.at.from[0] = ip->saddr;
	p.at.to[0] = ip->daddr;
	p.flow = find(&p, FAMILY_V4, host16(ip->tot_len) - sizeof(*ip));
	if (!p.flow)
		return TCX_NEXT;
	if (ip->ttl <= 1)
		return leave(LEFT_TTL);
	if (prepare(&p) != TCX_REDIRECT)
		return TCX_NEXT;
	rewrite_v4(ip, &p);
	return send(&p, &headers, sizeof(headers));
}

INLINE int relay_v6(struct __sk_buff *skb)
{
	struct headers_v6 headers = {};
	struct ipv6hdr *ip = &headers.ip;
	struct packet p = {
		.skb = skb,
		.ip_header = sizeof(*ip),
		.transport = &headers.transport,
	};

	if (load_bytes(skb, ETH_HLEN, ip, sizeof(*ip)))
		return TCX_NEXT;
	if (ip->nexthdr != IPPROTO_UDP || ip->version != 6)
		return TCX_NEXT;
	__builtin_memcpy(p.at.from, &ip->saddr, sizeof(ip->saddr));
	__builtin_memcpy(p.at.to, &ip->daddr, sizeof(ip->daddr));
	p.flow = find(&p, FAMILY_V6, host16(ip->payload_len));
	if (!p.flow)
		return TCX_NEXT;
	if (ip->hop_limit <= 1)
		return leave(LEFT_TTL);
	if (prepare(&p) != TCX_REDIRECT)
		return TCX_NEXT;
	__builtin_memcpy(&ip->saddr, p.flow->at.from, sizeof(ip->saddr));
	__builtin_memcpy(&ip->daddr, p.flow->at.to, sizeof(ip->daddr));
	ip->payload_len = headers.transport.udp.len;
	ip->hop_limit -= 1;
	return send(&p, &headers, sizeof(headers));
}

SECTION("classifier") int relay(struct __sk_buff *skb)
{
	// Leaves packets for other hosts (promiscuous mode), tagged packets, and packets merged by the
	// kernel.
	if (skb->pkt_type != PACKET_HOST || skb->vlan_present || skb->gso_size)
		return TCX_NEXT;
	if (skb->protocol == net16(ETH_P_IP))
		return relay_v4(skb);
	if (skb->protocol == net16(ETH_P_IPV6))
		return relay_v6(skb);
	return TCX_NEXT;
}

char license_name[] SECTION("license") = "MIT OR Apache-2.0";
