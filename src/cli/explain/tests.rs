//! The violation is that of the gate's judge, for any query.

use bytes::Bytes;
use http::{Request, header};
use proptest::prelude::*;
use proptest::sample::select;

use crate::config;
use crate::flow::Submission;
use crate::gateway::preview::{Previews, Verdict};
use crate::oauth::{ClientId, params};
use crate::policy::{Rules, Violation, authorize};

const TEXT: &str = r#"
    [[upstream]]
    url = "http://127.0.0.1:9000"
    [upstream.endpoints]
    authorization = ["/authorize"]
    token = ["/token"]
    [upstream.pkce]
    mode = "report"
    [[upstream.client]]
    id = "strict"
    mode = "enforce"
    response_types = ["code", "id_token"]
    owner = "a"
    reason = "a test"
    until = "2029-01-01"
    [[upstream.client]]
    id = "old"
    methods = ["S256", "plain"]
    owner = "a"
    reason = "a test"
    until = "2029-01-01"
"#;

/// The verdict on a query at the authorization endpoint by the functions of the gate.
fn judged(rules: &Rules, query: &str) -> Option<Violation> {
    let read = || {
        let submission = Submission::read(query.as_bytes(), None, 64)?;
        let Some(part) = submission.fresh(true)? else {
            return Ok(());
        };
        let request = submission.request(part)?;
        let client = request.client_id.map(ClientId::new);
        let rule = client.map_or(rules.default_rule(), |client| rules.of_name(&client, 0));
        authorize::judge(rule, &request).map(drop)
    };
    read().err()
}

fn pair() -> impl Strategy<Value = String> {
    const S256: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
    let names = select(vec![
        "client_id",
        "client_id",
        "response_type",
        "response_type",
        "response_mode",
        "redirect_uri",
        "state",
        "code_challenge",
        "code_challenge",
        "code_challenge_method",
        "code_challenge_method",
        "request",
        "x",
        "Client_Id",
        "state[]",
        "%zz",
        "",
    ]);
    let values = select(vec![
        "strict",
        "old",
        "OLD",
        "app",
        "code",
        "code",
        "token",
        "id_token",
        "query",
        "x",
        "S256",
        "S256",
        "plain",
        "s256",
        S256,
        S256,
        "",
        "%ff",
        "a;client_id=b",
        "https://a/cb",
        "%20x",
        "\u{e9}",
    ]);
    (names, values, select(vec!["=", "=", "=", ""])).prop_map(|(name, value, equals)| {
        format!(
            "{name}{equals}{}",
            if equals.is_empty() { "" } else { value }
        )
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn the_violation_is_that_of_the_judge(
        base in select(vec!["", "client_id=app&response_type=code&code_challenge_method=S256&"]),
        pairs in prop::collection::vec(pair(), 0..6),
    ) {
        let query = format!("{base}{}", pairs.join("&"));
        let checked = config::load(TEXT, "config.toml", 0).unwrap().config;
        let gateway = &checked.upstreams[0].gateway;
        let previews = Previews::new(vec![gateway], checked.limits, 0);
        let request = Request::get(format!("/authorize?{query}")).header(header::HOST, "h").body(Bytes::new());
        let Ok(request) = request else { return Ok(()) };
        let found = previews.of(request).unwrap().found;
        let violation = match found.verdict {
            Verdict::Judged(violation) => violation,
            Verdict::Passes(_) => None,
            Verdict::Barred(..) | Verdict::Open(_) => panic!("{query}"),
        };
        prop_assert_eq!(&violation, &judged(&gateway.rules, &query), "{}", query);
        let first = found.checks.into_iter().find_map(|(_, verdict)| verdict.err());
        prop_assert_eq!(first, violation, "{}", query);
        // No value that may be a secret is repeated.
        for (name, value) in found.parameters {
            prop_assert!(params::decode(value.as_bytes()).is_ok());
            prop_assert!(!["state", "code_challenge", "request"].contains(&&*name) || value.starts_with('('));
        }
    }
}
