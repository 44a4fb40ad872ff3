//! Whom a request names: for the log, and for nothing that is decided.

use crate::oauth::ClientId;

/// Whom a request names, and where its answer would go.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Named<'n> {
    pub(super) client: Option<&'n ClientId>,
    pub(super) redirect_uri: Option<&'n str>,
}

/// A request that names nothing.
pub(super) const NOBODY: Named<'static> = Named {
    client: None,
    redirect_uri: None,
};

/// What a request names that cannot be read without doubt.
pub(super) struct Names {
    pub(super) client: Option<ClientId>,
    pub(super) redirect_uri: Option<String>,
}

impl Names {
    /// With that client, where the request names none by itself.
    pub(super) fn or_of(self, client: Option<ClientId>) -> Self {
        Self {
            client: self.client.or(client),
            ..self
        }
    }

    pub(super) fn as_named(&self) -> Named<'_> {
        Named {
            client: self.client.as_ref(),
            redirect_uri: self.redirect_uri.as_deref(),
        }
    }
}
