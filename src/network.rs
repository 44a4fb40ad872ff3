//! Networks: the unit by which sign-ins, connections and requests are counted, as far as addresses tell.

use std::net::IpAddr;

/// The network of an address: a /24 of IPv4, a /56 of IPv6, in which one customer of a provider may have many
/// addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Network([u8; 8]);

impl Network {
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => {
                let [network @ .., _] = address.octets();
                Self::new(4, &network)
            }
            IpAddr::V6(address) => {
                let [half @ .., _, _, _, _, _, _, _, _] = address.octets();
                Self::of_ipv6(half)
            }
        }
    }

    /// The network of the IPv6 addresses with this /64 prefix.
    pub fn of_ipv6([network @ .., _]: [u8; 8]) -> Self {
        Self::new(6, &network)
    }

    fn new(version: u8, network: &[u8]) -> Self {
        let mut bytes = [0; 8];
        for (to, from) in bytes.iter_mut().zip([version].iter().chain(network)) {
            *to = *from;
        }
        Self(bytes)
    }

    /// The key for stores, different for each network.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(address: &str) -> Network {
        Network::of(address.parse().unwrap())
    }

    #[test]
    fn addresses_of_one_customer_are_one_network() {
        assert_eq!(of("192.0.2.1"), of("192.0.2.254"));
        assert_eq!(of("192.0.2.1"), of("::ffff:192.0.2.9"));
        assert_ne!(of("192.0.2.1"), of("192.0.3.1"));
        assert_eq!(of("2001:db8:0:1200::1"), of("2001:db8:0:12ff:ffff::"));
        assert_ne!(of("2001:db8:0:1200::1"), of("2001:db8:0:1300::1"));
        assert_ne!(of("4.1.2.3"), of("401:203::"));
    }
}
