//! Everything that is not intercepted, and the way there and back that every request takes.

mod bodies;
mod connections;
mod downloads;
mod forwarded;
mod routes;
mod tls;
