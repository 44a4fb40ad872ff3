//! Shared parts of the tests. A test begins with a [`Stage`](stage::Stage), a real server with a gate in front of it; or with a
//! [`Rig`](rig::Rig), a gate in front of a scripted upstream.

pub(crate) mod agent;
pub(crate) mod authority;
pub(crate) mod balancer;
pub(crate) mod client;
pub(crate) mod dice;
pub(crate) mod fault;
pub(crate) mod fixture;
pub(crate) mod front;
pub(crate) mod gate;
pub(crate) mod html;
pub(crate) mod http;
pub(crate) mod ledger;
pub(crate) mod params;
pub(crate) mod port;
pub(crate) mod raw;
pub(crate) mod redis;
pub(crate) mod rig;
#[cfg(target_arch = "x86_64")]
pub(crate) mod sarif;
pub(crate) mod schema;
pub(crate) mod scripted;
pub(crate) mod servers;
pub(crate) mod stage;
pub(crate) mod store;
pub(crate) mod tree;
pub(crate) mod wire;
