//! Requests that are not intercepted, and the forwarding that is common to all requests.

mod bodies;
mod connections;
mod downloads;
mod forwarded;
mod routes;
mod tls;
