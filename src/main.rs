//! pkce-gate.

fn main() {}
