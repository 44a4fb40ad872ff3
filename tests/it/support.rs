//! What the tests stand on. A test begins with a [`Stage`](stage::Stage): one real server, with a gate in front of it.

pub(crate) mod agent;
pub(crate) mod client;
pub(crate) mod fixture;
pub(crate) mod gate;
pub(crate) mod html;
pub(crate) mod http;
pub(crate) mod params;
pub(crate) mod servers;
pub(crate) mod stage;
