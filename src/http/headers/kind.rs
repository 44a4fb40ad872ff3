//! Classifies header fields by name. Runs for every field of every request, so it is one `match` without allocations.

/// Who may set a field, and whether it is forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A hop-by-hop field (RFC 9110 section 7.6.1).
    Hop,
    /// Never forwarded: it lets a forwarder change the path or method of a request, describes the framing of this hop, or becomes
    /// a variable of the server (CGI).
    Never,
    /// A forwarder uses it to describe the client and its connection. Kept only from trusted proxies.
    Forwarders,
    /// The same, and the gate sets it, too.
    Ours,
    /// Any other field.
    Ordinary,
}

/// Prefixes, after `x-`, of fields that load balancers and authenticating proxies set.
const X_FORWARDERS: [&str; 21] = [
    "forwarded-",
    "original-",
    "remote-",
    "ssl-",
    "client-cert",
    "client-ssl-",
    "tls-client-",
    "auth-request-",
    "authenticated-",
    "webauth-",
    "envoy-",
    "amzn-oidc-",
    "amzn-mtls-",
    "goog-iap-",
    "goog-authenticated-user-",
    "appengine-",
    "ms-client-principal",
    "ms-token-",
    "arr-",
    "authentik-",
    "pomerium-",
];

/// Prefixes of such fields without `x-`.
const FORWARDERS: [&str; 5] = [
    "ssl-client-",
    "client-cert",
    "cf-connecting-",
    "cf-access-",
    "tailscale-user-",
];

/// `name` must be in lower case.
pub(super) fn kind(name: &str) -> Kind {
    // CGI and its successors do not distinguish `_` and `-`.
    if name.bytes().any(|byte| byte == b'_') {
        return Kind::Never;
    }
    match name.as_bytes().first() {
        Some(b'x') => name
            .strip_prefix("x-")
            .map_or(Kind::Ordinary, kind_of_extension),
        Some(_) | None => kind_of_other(name),
    }
}

fn kind_of_extension(name: &str) -> Kind {
    match name {
        "forwarded-for" | "forwarded-host" | "forwarded-proto" => Kind::Ours,
        "original-url"
        | "original-uri"
        | "original-path"
        | "original-method"
        | "original-host"
        | "envoy-original-path"
        | "rewrite-url"
        | "rewrite-uri"
        | "http-method"
        | "http-method-override"
        | "method-override"
        | "script-name"
        | "accel-redirect"
        | "disable-redirect" => Kind::Never,
        "forwarded" | "real-ip" | "client-ip" | "cluster-client-ip" | "originating-ip"
        | "azure-clientip" | "azure-socketip" | "host" | "http-host-override" | "scheme"
        | "url-scheme" | "client-dn" | "client-verify" => Kind::Forwarders,
        _ if begins(name, &X_FORWARDERS) => Kind::Forwarders,
        _ => Kind::Ordinary,
    }
}

fn kind_of_other(name: &str) -> Kind {
    match name {
        "connection" | "keep-alive" | "proxy-connection" | "te" | "trailer"
        | "transfer-encoding" | "upgrade" | "http2-settings" => Kind::Hop,
        // CGI turns `Proxy` into HTTP_PROXY, which HTTP libraries use as their proxy.
        "expect"
        | "content-length"
        | "script-name"
        | "path-info"
        | "path-translated"
        | "proxy"
        | "proxy-authorization" => Kind::Never,
        "forwarded" => Kind::Ours,
        "forwarded-for" | "client-ip" | "true-client-ip" | "fastly-client-ip" | "fly-client-ip"
        | "front-end-https" | "remote-addr" | "remote-user" | "remote-groups" | "remote-name"
        | "remote-email" => Kind::Forwarders,
        _ if begins(name, &FORWARDERS) => Kind::Forwarders,
        _ => Kind::Ordinary,
    }
}

fn begins(name: &str, known: &[&str]) -> bool {
    known.iter().any(|known| name.starts_with(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_classified_by_name() {
        for (expected, names) in [
            (
                Kind::Hop,
                "connection keep-alive proxy-connection te trailer transfer-encoding upgrade http2-settings",
            ),
            (
                Kind::Never,
                "expect content-length script-name path-info path-translated proxy proxy-authorization x-original-url \
                 x-original-uri x-original-host x-rewrite-url x-rewrite-uri x-http-method x-http-method-override \
                 x-method-override x-script-name x-envoy-original-path x-accel-redirect x-disable-redirect x_real_ip a_b",
            ),
            (
                Kind::Forwarders,
                "x-real-ip x-client-ip client-ip true-client-ip cf-connecting-ip cf-connecting-ipv6 x-cluster-client-ip \
                 x-forwarded x-forwarded-port x-forwarded-prefix x-forwarded-path x-forwarded-uri x-forwarded-server \
                 x-forwarded-scheme x-forwarded-ssl x-forwarded-proto-version x-forwarded-client-cert x-forwarded-user \
                 x-forwarded-email x-forwarded-preferred-username x-forwarded-groups x-forwarded-access-token \
                 x-forwarded-anything remote-user x-remote-user x-remote-group x-ssl-client-verify x-ssl-cert \
                 ssl-client-verify ssl-client-subject-dn x-client-cert x-client-certificate client-cert client-cert-chain \
                 x-host x-http-host-override x-auth-request-user x-original-for x-envoy-external-address \
                 x-amzn-oidc-identity x-ms-client-principal x-ms-client-principal-name x-authenticated-user \
                 x-authenticated-userid x-webauth-user x-goog-iap-jwt-assertion x-arr-clientcert x-scheme front-end-https \
                 cf-access-authenticated-user-email",
            ),
            (
                Kind::Ours,
                "forwarded x-forwarded-for x-forwarded-host x-forwarded-proto",
            ),
            (
                Kind::Ordinary,
                "accept authorization cookie content-type content-encoding host user-agent referer origin via x-kept \
                 x-requested-with x-csrf-token x-request-id x-user x-user-id x-users x-auth-user x-auth-token x-api-key \
                 x-amz-date x-amzn-trace-id x-ms-version x-ms-date x-goog-api-key x-client-version x-client-data \
                 x-hostname x-http-version cf-ray client-version remote-id forward x- x -",
            ),
        ] {
            for name in names.split(' ') {
                assert_eq!(kind(name), expected, "{name}");
            }
        }
    }
}
