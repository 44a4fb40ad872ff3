//! Redis or Valkey: one server, a master that Sentinel names, or a cluster.

mod link;
