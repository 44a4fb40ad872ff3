//! Who asks, and for what.

use std::sync::Arc;

use http::uri::Authority;

use crate::http::headers::Node;
use crate::oauth::Endpoint;
use crate::server::watch::Watch;
use crate::telemetry::RequestId;

/// Who asks, and for what.
#[derive(Debug)]
pub(super) struct Caller<'g> {
    pub(super) id: RequestId,
    pub(super) kind: Endpoint,
    pub(super) node: &'g Node,
    pub(super) watch: &'g Arc<Watch>,
    pub(super) host: Authority,
}
