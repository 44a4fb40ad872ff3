//! Peers: the unit by which connections and requests are counted, and the share that each may have.

use std::net::IpAddr;
use std::sync::atomic::AtomicUsize;

use ipnet::IpNet;

use crate::network::Network;

/// One customer of an Internet provider, as far as the address tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Peer {
    /// A trusted proxy: its connections come from many clients, so it has no share.
    Proxy,
    V4([u8; 4]),
    /// The /64 prefix of an IPv6 address, which one customer gets.
    V6([u8; 8]),
}

impl Peer {
    /// The peer with this address; `proxies` are the networks of trusted proxies.
    pub(super) fn of(address: IpAddr, proxies: &[IpNet]) -> Self {
        if proxies.iter().any(|network| network.contains(&address)) {
            return Self::Proxy;
        }
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.octets()),
            IpAddr::V6(address) => {
                let [network @ .., _, _, _, _, _, _, _, _] = address.octets();
                Self::V6(network)
            }
        }
    }

    /// The network of the peer; `None` for a proxy, which forwards for many networks.
    pub(super) fn network(self) -> Option<Network> {
        match self {
            Self::Proxy => None,
            Self::V4(address) => Some(Network::of(address.into())),
            Self::V6(half) => Some(Network::of_ipv6(half)),
        }
    }
}

/// What one connection holds, or all connections of a network.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// Requests in flight, to all upstreams.
    pub(super) requests: AtomicUsize,
    /// Those whose body is still being received.
    pub(super) uploads: AtomicUsize,
}

/// While more than this fraction of all places is free, every network may take more.
const PLENTY: usize = 4;
/// While less than this fraction is free, networks above their share give places back.
const SCARCE: usize = 8;

/// Whether a network that has `own` of `all` places may take another one while `taken` are taken: always while more
/// than a quarter is free, and then as long as it has no more than are free. So no network alone takes the last
/// quarter, and a new network finds a place.
pub(super) fn has_room(own: usize, taken: usize, all: usize) -> bool {
    let free = all.saturating_sub(taken);
    free > all / PLENTY || own <= free
}

/// The number of free places, if they are scarce.
pub(super) fn scarce(taken: usize, all: usize) -> Option<usize> {
    let free = all.saturating_sub(taken);
    (free < all / SCARCE).then_some(free)
}

/// The number of places that each network may keep while `free` are free: the highest number for which as many places
/// become free.
pub(super) fn level(own: &[usize], free: usize) -> usize {
    let leaves = |level: usize| {
        let given_back = own.iter().map(|own| own.saturating_sub(level));
        free + given_back.sum::<usize>() >= level
    };
    let (mut level, mut beyond) = (free, own.iter().fold(free, |most, own| most.max(*own)) + 1);
    while beyond - level > 1 {
        let middle = level.midpoint(beyond);
        if leaves(middle) {
            level = middle;
        } else {
            beyond = middle;
        }
    }
    level
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_64_prefix_is_one_peer_and_a_proxy_has_no_network() {
        let proxies = [
            "10.0.0.0/8".parse().unwrap(),
            "2001:db8:1::/48".parse().unwrap(),
        ];
        let of = |address: &str| Peer::of(address.parse().unwrap(), &proxies);
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("192.0.2.1"), of("::ffff:192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
        assert_eq!(of("10.1.2.3"), Peer::Proxy);
        assert_eq!(of("2001:db8:1:2::3"), Peer::Proxy);
        let network = |address: &str| of(address).network();
        assert_eq!(network("192.0.2.1"), network("192.0.2.255"));
        assert_ne!(network("192.0.2.1"), network("192.0.3.1"));
        assert_eq!(network("2001:db8:0:0::1"), network("2001:db8:0:ff::1"));
        assert_ne!(network("2001:db8:0:0::1"), network("2001:db8:0:100::1"));
        assert_eq!(network("10.1.2.3"), None);
    }

    /// One network after the other, which is the worst case: the first one has half before the second one comes.
    #[test]
    fn a_further_network_finds_as_many_places_as_each_of_the_others_has() {
        for networks in [1, 2, 8, 100] {
            let all = 512;
            let mut own = vec![0; networks];
            let free = |own: &[usize]| all - own.iter().sum::<usize>();
            for at in 0..networks {
                while free(&own) > 0 && has_room(own[at], all - free(&own), all) {
                    own[at] += 1;
                }
                let level = level(&own, free(&own));
                for own in &mut own {
                    *own = level.min(*own);
                }
            }
            let free = free(&own);
            assert!(free >= all / (networks + 1), "{networks}: {free}");
            assert!(own.iter().all(|own| *own <= free), "{own:?} {free}");
            assert!(
                own.iter().any(|own| own + networks > free),
                "{own:?} {free}"
            );
        }
    }
}
