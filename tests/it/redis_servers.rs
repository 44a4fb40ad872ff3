//! The servers of Redis and Valkey that other tests use do what their methods say.

mod cluster;
mod sentinel;
mod single;
