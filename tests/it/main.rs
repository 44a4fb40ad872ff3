//! Tests of the real binary in front of real servers, with real clients and a real browser. `tests/run` installs what they
//! need.
#![cfg(test)]

mod access;
mod attacks;
mod config;
#[cfg(feature = "demo")]
mod demo;
mod deploy;
mod differential;
mod docs;
mod doctor;
mod explain;
mod fault_proxy;
mod init;
mod lifecycle;
mod limits;
mod metadata;
mod metrics;
mod passthrough;
mod real_browser;
mod real_clients;
mod real_mcp;
mod real_review;
mod real_rollout;
mod real_servers;
mod redemption;
mod redis_servers;
mod reliability;
mod reload;
mod review;
mod secrecy;
mod shares;
mod signals;
mod state;
mod support;
mod tidy;
mod transparency;
