//! What a header field is to a gate, by its name. Asked of every field of every request: one `match`, and nothing allocated.

/// Who may say it, and how far it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Ends at this hop (RFC 9110 section 7.6.1).
    Hop,
    /// By which servers and frameworks let a forwarder change path or method of a request, which describes a framing that
    /// ends here, or which turns into a variable of the server's own. Nobody's travels on.
    Nobodys,
    /// By which a forwarder says who the peer is and how it was reached: believed of trusted proxies only.
    Forwarders,
    /// Likewise, and said by us too.
    Ours,
    /// Anything else.
    Ordinary,
}

/// Fields with these names behind `x-` are those of forwarders, of load balancers, and of the proxies that sign people in.
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

/// Likewise, without `x-`.
const FORWARDERS: [&str; 5] = [
    "ssl-client-",
    "client-cert",
    "cf-connecting-",
    "cf-access-",
    "tailscale-user-",
];

/// `name` is in lower case.
pub(super) fn kind(name: &str) -> Kind {
    // CGI and its descendants read `_` and `-` alike.
    if name.bytes().any(|byte| byte == b'_') {
        return Kind::Nobodys;
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
        | "disable-redirect" => Kind::Nobodys,
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
        // `Proxy` becomes HTTP_PROXY, by which libraries find the way out.
        "expect"
        | "content-length"
        | "script-name"
        | "path-info"
        | "path-translated"
        | "proxy"
        | "proxy-authorization" => Kind::Nobodys,
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
    fn a_field_is_known_by_its_name() {
        for (expected, names) in [
            (
                Kind::Hop,
                "connection keep-alive proxy-connection te trailer transfer-encoding upgrade http2-settings",
            ),
            (
                Kind::Nobodys,
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
