//! The paths under which the metadata of an issuer is found (RFC 8414 section 3, OpenID Connect Discovery section 4).

/// Authorization server metadata (RFC 8414).
pub(crate) const OAUTH: &str = "/.well-known/oauth-authorization-server";
/// `OpenID` provider metadata (OpenID Connect Discovery).
pub(crate) const OPENID: &str = "/.well-known/openid-configuration";
/// SMART App Launch: below the base URL of a FHIR server.
pub(crate) const SMART: &str = "/.well-known/smart-configuration";
/// Protected resource metadata (RFC 9728). It describes the resource server, which may be the same host.
pub(crate) const RESOURCE: &str = "/.well-known/oauth-protected-resource";

/// The paths of one kind of metadata for an issuer with this path (without a trailing slash, empty for none): inserted between
/// host and path (RFC 8414), and appended to the path (OpenID Connect Discovery). They are equal if the issuer has no path.
pub(crate) fn paths(well_known: &str, issuer_path: &str) -> Vec<String> {
    let inserted = format!("{well_known}{issuer_path}");
    let appended = format!("{issuer_path}{well_known}");
    if inserted == appended {
        vec![inserted]
    } else {
        vec![inserted, appended]
    }
}

/// The path of the issuer whose metadata is at `path`, without a trailing slash. `None`: it is no such path, or it does not tell
/// the issuer: SMART's document describes the server of a FHIR base URL, whatever its issuer is.
pub(crate) fn issuer_path(path: &str) -> Option<&str> {
    for well_known in [OAUTH, OPENID] {
        if let Some(inserted) = path.strip_prefix(well_known)
            && (inserted.is_empty() || inserted.starts_with('/'))
        {
            return Some(inserted.trim_end_matches('/'));
        }
        if let Some(appended) = path.strip_suffix(well_known) {
            return Some(appended);
        }
    }
    None
}

/// Whether an issuer is the one whose metadata is at `path` of `origin` (`scheme://authority`). An issuer may end with `/`, which
/// is removed before its paths are made. `None`: the path tells no issuer.
pub(crate) fn is_at(issuer: &str, origin: &str, path: &str) -> Option<bool> {
    let expected = issuer_path(path)?;
    let own = issuer.strip_prefix(origin);
    Some(own.is_some_and(|own| own.strip_suffix('/').unwrap_or(own) == expected))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_of_an_issuer_with_a_path_has_two_places() {
        assert_eq!(paths(OAUTH, ""), [OAUTH]);
        assert_eq!(
            paths(OAUTH, "/tenant/a"),
            [
                "/.well-known/oauth-authorization-server/tenant/a",
                "/tenant/a/.well-known/oauth-authorization-server"
            ]
        );
        for path in paths(OAUTH, "/tenant/a")
            .iter()
            .chain(&paths(OPENID, "/tenant/a"))
        {
            assert_eq!(issuer_path(path), Some("/tenant/a"), "{path}");
        }
    }

    #[test]
    fn a_path_tells_its_issuer() {
        for (path, expected) in [
            (OAUTH, Some("")),
            (OPENID, Some("")),
            ("/.well-known/openid-configuration/", Some("")),
            ("/.well-known/openid-configurations", None),
            ("/o/.well-known/openid-configuration", Some("/o")),
            ("/o/.well-known/smart-configuration", None),
            (SMART, None),
            ("/metadata", None),
        ] {
            assert_eq!(issuer_path(path), expected, "{path}");
        }
    }

    #[test]
    fn an_issuer_is_compared_with_the_url_of_its_document() {
        let origin = "https://login.example";
        for (issuer, path, expected) in [
            ("https://login.example", OAUTH, Some(true)),
            ("https://login.example/", OPENID, Some(true)),
            ("https://login.example//", OPENID, Some(false)),
            ("https://login.example/t", OAUTH, Some(false)),
            ("https://login.example.evil", OAUTH, Some(false)),
            ("http://login.example", OAUTH, Some(false)),
            (
                "https://login.example/t",
                "/.well-known/oauth-authorization-server/t",
                Some(true),
            ),
            (
                "https://login.example/t/",
                "/t/.well-known/openid-configuration",
                Some(true),
            ),
            (
                "https://login.example/T",
                "/t/.well-known/openid-configuration",
                Some(false),
            ),
            (
                "https://login.example",
                "/t/.well-known/openid-configuration",
                Some(false),
            ),
            ("https://login.example", SMART, None),
        ] {
            assert_eq!(is_at(issuer, origin, path), expected, "{issuer} at {path}");
        }
    }
}
