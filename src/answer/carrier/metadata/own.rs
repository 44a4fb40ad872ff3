//! Documents that name URLs of the server without being its metadata: protected resource metadata (RFC 9728), and answers to
//! client registration (RFC 7591).

use serde_json::Value;

use super::truth::{Truth, public_url};
use crate::oauth::json;

/// Protected resource metadata whose `authorization_servers` are at the public origin where they were at the upstream's own.
/// Clients would go around the gate otherwise. The list has issuers, so that of the upstream (`issuer`) stays if it is known:
/// clients compare it with the server's metadata. `None`: nothing changes.
pub(crate) fn public_resource(
    document: &[u8],
    truth: Truth<'_>,
    issuer: Option<&str>,
) -> Option<Vec<u8>> {
    let mut document = object(document)?;
    let servers = document.get_mut("authorization_servers")?.as_array_mut()?;
    let mut changed = false;
    for server in servers {
        let Value::String(url) = server else { continue };
        if Some(url.as_str()) != issuer {
            let before = url.clone();
            public_url(url, truth);
            changed |= before != *url;
        }
    }
    changed
        .then(|| serde_json::to_vec(&document).ok())
        .flatten()
}

/// The answer to a registration whose `registration_client_uri` (RFC 7592) is at the public origin. `None`: nothing changes.
pub(crate) fn public_registration(document: &[u8], truth: Truth<'_>) -> Option<Vec<u8>> {
    let mut document = object(document)?;
    let Value::String(url) = document.get_mut("registration_client_uri")? else {
        return None;
    };
    let before = url.clone();
    public_url(url, truth);
    if before == *url {
        return None;
    }
    serde_json::to_vec(&document).ok()
}

fn object(document: &[u8]) -> Option<Value> {
    json::parse(document).filter(Value::is_object)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Rule;
    use crate::route::Endpoints;

    fn changed(change: impl Fn(Truth<'_>) -> Option<Vec<u8>>) -> Option<String> {
        let (endpoints, rule) = (Endpoints::default(), Rule::default());
        let changed = change(Truth {
            public_origin: "https://login.example",
            upstream_origin: "http://127.0.0.1:9000",
            endpoints: &endpoints,
            rule: &rule,
        });
        changed.map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn authorization_servers_of_a_resource_are_those_at_the_gate() {
        let resource = |servers: &str, issuer: Option<&str>| {
            let document = format!(
                r#"{{"resource":"http://127.0.0.1:9000/mcp","authorization_servers":{servers},"scopes_supported":["a"]}}"#
            );
            changed(|truth| public_resource(document.as_bytes(), truth, issuer))
        };
        assert_eq!(
            resource(
                r#"["http://127.0.0.1:9000","http://127.0.0.1:9000/t","https://other.example"]"#,
                None
            )
            .unwrap(),
            r#"{"resource":"http://127.0.0.1:9000/mcp","authorization_servers":["https://login.example","https://login.example/t","https://other.example"],"scopes_supported":["a"]}"#
        );
        let own = r#"["http://127.0.0.1:9000"]"#;
        assert!(resource(own, Some("https://login.example")).is_some());
        assert_eq!(
            resource(own, Some("http://127.0.0.1:9000")),
            None,
            "it is the issuer of the metadata"
        );
        for servers in [r#"["https://login.example"]"#, "[1]", "{}", "null", "[]"] {
            assert_eq!(resource(servers, None), None, "{servers}");
        }
    }

    #[test]
    fn a_registration_is_managed_at_the_gate() {
        let registration =
            |document: &str| changed(|truth| public_registration(document.as_bytes(), truth));
        assert_eq!(
            registration(r#"{"client_id":"a","registration_client_uri":"http://127.0.0.1:9000/register/a?x=1","client_uri":"http://127.0.0.1:9000"}"#).unwrap(),
            r#"{"client_id":"a","registration_client_uri":"https://login.example/register/a?x=1","client_uri":"http://127.0.0.1:9000"}"#
        );
        for document in [
            r#"{"client_id":"a"}"#,
            r#"{"registration_client_uri":"https://elsewhere.example/a"}"#,
            r#"{"registration_client_uri":1}"#,
            "[]",
            "",
        ] {
            assert_eq!(registration(document), None, "{document}");
        }
    }
}
