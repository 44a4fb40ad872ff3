//! Whose requests and connections count together.

use std::net::IpAddr;

use ipnet::IpNet;

/// One customer of the network, as far as its address tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Peer {
    /// A trusted proxy: what comes from it comes from many, and has no share.
    Proxy,
    /// An IPv4 address.
    V4([u8; 4]),
    /// The first half of an IPv6 address: a network that one customer gets.
    V6([u8; 8]),
}

impl Peer {
    /// The peer with that address, where these networks are of proxies.
    pub fn of(address: IpAddr, proxies: &[IpNet]) -> Self {
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_network_is_one_peer_and_a_proxy_is_none() {
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
    }
}
