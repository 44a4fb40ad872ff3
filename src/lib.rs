//! pkce-gate.

pub mod admin;
pub mod carrier;
pub mod clock;
pub mod config;
pub mod flow;
pub mod gateway;
pub mod oauth;
pub mod policy;
pub mod server;
pub mod store;
pub mod telemetry;
pub mod upstream;
