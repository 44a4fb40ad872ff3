//! Token requests in disguise: a code that is sent to any other route than the token endpoint.
//!
//! Where codes are handles such a request is worthless anyway; where they travel as the upstream issued them, this is
//! what keeps an alias of the token endpoint that nobody configured from being a way around.

use http::Response;

use crate::oauth::params::folds_to;
use crate::policy::{Decision, Violation};

use super::body::Body;
use super::exchange::{Exchange, Received};
use super::reading::{
    self, Look, Names, ONE_TIME_PASSWORD, Said, has_foreign_charset, may_be_read_as, names,
};
use super::{concern, reply};

/// Beside a code, any of these makes a request one for a token.
const COMPANIONS: [&str; 4] = [
    "client_id",
    "client_secret",
    "redirect_uri",
    "code_verifier",
];
/// The answer to a token request in disguise.
pub(super) async fn guard(
    exchange: &Exchange<'_>,
    request: &mut Received,
) -> Option<Response<Body>> {
    let is_foreign = exchange
        .site
        .settings
        .routes
        .is_foreign_callback(request.path());
    if is_foreign {
        return None;
    }
    let is_one = is_token_request(exchange, request).await;
    let rule = if is_one || concern::is_planted(exchange, request).await {
        concern::rule(exchange, request).await
    } else {
        concern::misplaced_code(exchange, request).await?
    };
    match exchange.decide_unread(rule, (), Violation::TokenRequestElsewhere) {
        Decision::Allow(_) | Decision::Report(..) => None,
        Decision::Refuse((), violation) => Some(reply::token_refused(&violation, None)),
    }
}

/// Whether the request is one for a token. Peeks into a body that could be a form, and leaves it ready to be sent on.
async fn is_token_request(exchange: &Exchange<'_>, request: &mut Received) -> bool {
    // Without one of these nothing is a token request, and most requests have neither.
    const DECISIVE: &[&str] = &["code", "granttype"];
    let in_query = may_be_read_as(request.query().as_bytes(), DECISIVE);
    let has_body = !http_body::Body::is_end_stream(&request.body);
    let query = if in_query || has_body {
        names(request.query().as_bytes())
    } else {
        Names::new()
    };
    if asks_for_token(&query) {
        return true;
    }
    let thorough = exchange.site.settings.rules.any_enforced_upstream_codes();
    // Django reads the query, too, in the charset that the Content-Type names.
    if thorough && !request.query().is_empty() && has_foreign_charset(&request.headers) {
        return true;
    }
    let look = match (thorough, in_query) {
        (true, _) => Look::Thorough,
        // A code there may have company here.
        (false, true) => Look::Form,
        (false, false) => Look::FormWith(DECISIVE),
    };
    match reading::body(exchange, request, look).await {
        Said::Nothing | Said::Broken => false,
        // Handles make that harmless; a code of the upstream's own could hide in it.
        Said::Something => thorough,
        Said::Names(read) => together(&query, read),
    }
}

/// Whether query and body ask for a token together: many servers do not tell where a parameter stands.
fn together(query: &Names, read: Vec<Names>) -> bool {
    read.into_iter()
        .any(|names| asks_for_token(&[query.clone(), names].concat()))
}

fn asks_for_token(names: &Names) -> bool {
    let has = |name: &str| {
        names
            .iter()
            .any(|(known, value)| folds_to(name, known) && !value.is_empty())
    };
    if has("grant_type") {
        return true;
    }
    let mut codes = names
        .iter()
        .filter(|(name, value)| name == "code" && !value.is_empty())
        .peekable();
    if codes.peek().is_none() || !COMPANIONS.into_iter().any(has) {
        return false;
    }
    let is_otp = |code: &str| {
        code.len() <= ONE_TIME_PASSWORD && code.bytes().all(|byte| byte.is_ascii_digit())
    };
    let secretive = ["client_secret", "code_verifier"].into_iter().any(has);
    secretive || !codes.all(|(_, code)| is_otp(code))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::reading::{Kind, readings};
    use bytes::Bytes;

    fn check(kind: Kind, body: &str) -> bool {
        readings(kind, &Bytes::copy_from_slice(body.as_bytes()))
            .is_none_or(|read| read.iter().any(asks_for_token))
    }

    #[test]
    fn a_code_with_company_is_a_token_request_in_every_reading() {
        for body in [
            "grant_type=authorization_code",
            "code=SplxlOBeZQQY&client_id=a",
            "CODE=SplxlOBeZQQY&Client_Id=a",
            "code[]=SplxlOBeZQQY&redirect.uri=x",
            "%63ode=SplxlOBeZQQY&code_verifier=x",
            "code=123456&client_secret=s",
            "code=123456&code=SplxlOBeZQQY&client_id=a",
            "a=1;code=SplxlOBeZQQY;client_id=a",
            "a=1;grant_type=x",
            "%ff=1&=&x=%zz&grant_type=x",
            "co%00de=SplxlOBeZQQY&client_id=a",
            "\u{feff}code=SplxlOBeZQQY&client_id=a",
            "grant[type=x",
            "grant_type%00x=x",
            "code%00=SplxlOBeZQQY&client[id=a",
        ] {
            assert!(
                check(Kind::Form, body) && check(Kind::Doubtful, body),
                "{body}"
            );
        }
        assert!(check(
            Kind::Json,
            r#"{"code":"SplxlOBeZQQY","client_id":"a"}"#
        ));
        for name in [
            "name=\"grant_type\"",
            "NAME=grant_type",
            "name = 'grant_type'",
            "name*=utf-8''grant%5ftype",
            "name=\"grant\\_type\"",
            "name*0=\"grant_\"; name*1=\"type\"",
            "name*0*=utf-8''grant; name*1=_type",
        ] {
            let body = format!("--b\r\nContent-Disposition: form-data; {name}\r\n\r\nx\r\n--b--");
            assert!(
                check(Kind::Multipart, &body) && check(Kind::Doubtful, &body),
                "{name}"
            );
        }
        for twice in [r#"{"code":1,"code":2}"#, "{"] {
            assert!(
                check(Kind::Json, twice) && check(Kind::Doubtful, twice),
                "{twice}"
            );
        }
    }

    #[test]
    fn a_look_at_the_names_misses_nothing() {
        for body in [
            "a=b&code=x",
            "c_o.d-e=x",
            "a=b;GRANT_TYPE=x",
            "%63ode=x",
            "grant[type=x",
            "c\0ode=x",
            "+code=x",
        ] {
            assert!(
                may_be_read_as(body.as_bytes(), &["code", "granttype"]),
                "{body}"
            );
        }
        for body in ["", "a=b&username=c", "xcode=code&code_x=grant_type"] {
            assert!(
                !may_be_read_as(body.as_bytes(), &["code", "granttype"]),
                "{body}"
            );
        }
    }

    #[test]
    fn query_and_body_are_read_together() {
        let together = |query: &str, body: &str| {
            let read = readings(Kind::Form, &Bytes::copy_from_slice(body.as_bytes()));
            together(&names(query.as_bytes()), read.unwrap())
        };
        assert!(together("code=SplxlOBeZQQY", "client_id=a"));
        assert!(together("client_id=a", "code=SplxlOBeZQQY"));
        assert!(!together("client_id=a", "username=b") && !together("code=123456", "client_id=a"));
    }

    #[test]
    fn one_time_passwords_and_callbacks_of_other_servers_pass() {
        for body in [
            "code=123456&client_id=a",
            "code=SplxlOBeZQQY&state=x",
            "username=a&password=b",
            "grant_type=",
            "100% sure; nothing {to} see",
            "grant[type]=x&user[code]=SplxlOBeZQQY&client[id]=1",
        ] {
            assert!(!check(Kind::Form, body), "{body}");
        }
        assert!(!check(Kind::Json, r#"{"message":"code","client_id":"a"}"#));
    }
}
