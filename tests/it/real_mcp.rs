//! MCP clients in front of servers that are no authorization servers of MCP: without metadata, or without PKCE. The official
//! conformance tests, and published clients. `tests/mcp` has both.

mod clients;
mod conformance;
mod scene;
