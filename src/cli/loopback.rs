//! URLs on this machine.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use url::{Host, Url};

/// The address of a URL on a loopback address, or on `localhost`.
pub(super) fn this_machine(url: &Url) -> Option<SocketAddr> {
    let ip = match url.host()? {
        Host::Domain("localhost") => IpAddr::V4(Ipv4Addr::LOCALHOST),
        Host::Domain(_) => return None,
        Host::Ipv4(ip) => IpAddr::V4(ip),
        Host::Ipv6(ip) => IpAddr::V6(ip),
    };
    let port = url.port_or_known_default()?;
    ip.is_loopback().then(|| SocketAddr::new(ip, port))
}
