//! The connection and the route of a request.

use std::sync::Arc;

use http::uri::Authority;

use crate::http::headers::Node;
use crate::oauth::Endpoint;
use crate::server::watch::Watch;
use crate::telemetry::RequestId;

/// The connection and the route of a request.
#[derive(Debug)]
pub(super) struct Caller<'g> {
    pub(super) id: RequestId,
    pub(super) kind: Endpoint,
    pub(super) node: &'g Node,
    pub(super) watch: &'g Arc<Watch>,
    pub(super) host: Authority,
}
