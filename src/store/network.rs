//! Whose sign-ins count together, as far as their addresses tell.

use std::net::IpAddr;

/// The network that a sign-in comes from: a /24 of IPv4, a /56 of IPv6. It is what one customer of a provider can have many
/// addresses of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network([u8; 8]);

impl Network {
    /// The network of that address.
    pub fn of(address: IpAddr) -> Self {
        let mut network = [0; 8];
        let (family, octets): (u8, &[u8]) = match address.to_canonical() {
            IpAddr::V4(address) => (4, &address.octets()[..3]),
            IpAddr::V6(address) => (6, &address.octets()[..7]),
        };
        for (to, from) in network.iter_mut().zip([&[family], octets].concat()) {
            *to = from;
        }
        Self(network)
    }

    /// For stores: what tells it from all others.
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
