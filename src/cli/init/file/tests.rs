use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;
use crate::cli::learned::{Document, learn};
use crate::config::{self, Severity};
use crate::policy::Mode;

fn written(from: &str, given: Option<&str>, learned: &Learned) -> String {
    let url = |text: &str| Url::parse(text).unwrap();
    let (from, given) = (url(from), given.map(url));
    let admin = "127.0.0.1:9901".parse().unwrap();
    let place = Place::of(&from, learned.issuer.as_deref(), given.as_ref(), admin);
    render(&Plan {
        from: &from,
        place: &place,
        admin,
        ca: None,
        learned,
        today: 20_000,
    })
}

fn of_document(from: &str, members: &Value) -> Learned {
    let document = Document::parse(
        "/.well-known/openid-configuration",
        members.to_string().as_bytes(),
    );
    learn(&Url::parse(from).unwrap(), &[document.unwrap()]).unwrap()
}

fn metadata() -> Value {
    json!({
        "issuer": "https://login.example",
        "authorization_endpoint": "https://login.example/authorize?p=a",
        "token_endpoint": "https://login.example/token",
        "device_authorization_endpoint": "https://login.example/device",
        "registration_endpoint": "https://other.example/register",
        "jwks_uri": "https://login.example/jwks",
        "response_types_supported": ["code", "code id_token"],
        "code_challenge_methods_supported": ["S256"],
    })
}

#[test]
fn the_file_says_what_was_learned() {
    let learned = of_document("http://10.0.0.5:9000", &metadata());
    let text = written("http://10.0.0.5:9000", None, &learned);
    for line in [
        "listen = [\"127.0.0.1:8080\"] # your TLS terminator connects here",
        "trusted_proxies = [\"127.0.0.1/32\"] # the addresses whose X-Forwarded-* are believed",
        "name = \"legacy\" # in logs and metrics",
        "url = \"http://10.0.0.5:9000\" # where the gate reaches the server",
        "public_url = \"https://login.example\" # how clients reach the gate: as the issuer of the server says",
        "authorization = [\"/authorize\"]",
        "token = [\"/token\"]",
        "device_authorization = [\"/device\"]",
        "metadata = [\"/.well-known/openid-configuration\"]",
        "query = [\"p\"] # parameters in the URLs of these endpoints",
        "# allow = [\"/jwks\"]",
        "mode = \"report\" # \"enforce\", when every client is ready",
        "# report_until = \"2025-01-02\" # the day by which you mean to enforce; from two weeks before, the gate reminds you",
        "# promote = \"propose after 7d\" # the review then proposes to enforce the clients that were good for a week",
        "# response_types = [\"code\", \"code id_token\"]",
        "issuer = \"https://login.example\"",
        "# What could not be learned:",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    assert!(
        text.contains("https://other.example/register is at another host"),
        "{text}"
    );
    assert!(text.lines().all(|line| line.len() <= 160), "{text}");
    let checked = config::load(&text, "config.toml", 0).unwrap();
    let warnings: Vec<_> = checked
        .warnings
        .iter()
        .map(|it| it.message.clone())
        .collect();
    assert_eq!(
        warnings,
        [
            "the upstream is reached over a network in plain http",
            "nothing is refused at \"legacy\""
        ]
    );
}

#[test]
fn what_is_commented_out_is_valid_as_well() {
    let learned = of_document("http://10.0.0.5:9000", &metadata());
    let text = written("http://10.0.0.5:9000", None, &learned);
    let uncommented = [
        "[upstream.routes]",
        "default = ",
        "allow = ",
        "response_types = ",
        "[review]",
        "snapshot = ",
        "report_until = ",
        "promote = ",
    ];
    let lines = text.lines().map(|line| match line.strip_prefix("# ") {
        Some(rest) if uncommented.iter().any(|start| rest.starts_with(start)) => rest,
        _ => line,
    });
    let more = lines.collect::<Vec<_>>().join("\n");
    assert_ne!(more, text);
    let config = config::load(&more, "config.toml", 20_000).unwrap().config;
    let snapshot = config.review.snapshot.as_deref();
    assert_eq!(
        snapshot.and_then(|file| file.to_str()),
        Some("/var/lib/pkce-gate/review.json")
    );
    let gateway = &config.upstreams[0].gateway;
    assert!(gateway.routes.deny_by_default && gateway.routes.admits("/jwks"));
    assert_eq!(gateway.rules.default_rule().response_types.len(), 2);
}

#[test]
fn an_issuer_that_is_not_at_the_public_address_is_a_comment() {
    let members = json!({
        "issuer": "http://127.0.0.1:9000/o",
        "authorization_endpoint": "http://127.0.0.1:9000/o/authorize/",
        "token_endpoint": "http://127.0.0.1:9000/o/token/",
    });
    let learned = of_document("http://127.0.0.1:9000", &members);
    let text = written("http://127.0.0.1:9000", None, &learned);
    assert!(
        text.contains("\n# issuer = \"http://127.0.0.1:9000/o\"\n"),
        "{text}"
    );
    assert!(!text.contains("\n[upstream.metadata]"), "{text}");
    let checked = config::load(&text, "config.toml", 0).unwrap();
    assert_eq!(checked.warnings.count(Severity::Warning), 1, "the mode");
}

#[test]
fn guessed_paths_are_marked() {
    let mut learned = of_document(
        "http://127.0.0.1:9000",
        &metadata_at("http://127.0.0.1:9000"),
    );
    learned.source = Source::Guess(vec!["GET /authorize: 400, an error of OAuth".to_owned()]);
    learned.issuer = None;
    let text = written(
        "http://127.0.0.1:9000",
        Some("http://127.0.0.1:7000"),
        &learned,
    );
    assert!(text.contains("# GUESSED: "), "{text}");
    assert!(
        text.contains("\n# - GET /authorize: 400, an error of OAuth\n"),
        "{text}"
    );
    assert!(!text.contains("\nmetadata = "), "{text}");
    assert!(
        text.contains("\nlisten = [\"127.0.0.1:7000\"] # clients connect here\n"),
        "{text}"
    );
    assert!(config::load(&text, "config.toml", 0).is_ok(), "{text}");
}

fn metadata_at(origin: &str) -> Value {
    json!({
        "authorization_endpoint": format!("{origin}/authorize"),
        "token_endpoint": format!("{origin}/token"),
    })
}

#[test]
fn long_comments_are_wrapped() {
    let text = "word ".repeat(60) + &"x".repeat(200);
    let lines = item(&text);
    assert!(lines.starts_with("# - word word"), "{lines}");
    let later: Vec<_> = lines.lines().skip(1).collect();
    assert!(
        later
            .iter()
            .all(|line| line.starts_with("#   w") || line.starts_with("#   x"))
    );
    assert_eq!(later.last().unwrap().len(), 204);
}

/// A value of metadata: usual ones, and ones that try to be more than a value.
fn value() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        4 => prop::sample::select(vec![
            "https://login.example", "https://login.example/", "https://login.example/authorize",
            "https://login.example/token", "http://10.0.0.5:9000/token", "http://login.example//token/",
            "https://login.example/authorize?p=1", "https://other.example/token", "http://127.0.0.1:8080",
            "https://login.example/.well-known/openid-configuration", "code", "S256", "query",
            "http://10.0.0.5:9000/a\"]\nmode = \"off\"\n#", "https://login.example/x\nmode = \"off\"",
            "https://login.example/\"'", "https://login.example/%0amode", "https://login.example/a\\b", "x\r[upstream.pkce]",
            "https://[::1]:8080", "https://localhost", "https://login.example:0/token", "https://l\u{f6}gin.example",
        ]).prop_map(str::to_owned),
        2 => "https://login\\.example/[ -~]{0,12}",
        1 => any::<String>(),
    ];
    let text = text.prop_map(Value::String).boxed();
    prop_oneof![
        6 => text.clone(),
        2 => prop::collection::vec(text, 0..4).prop_map(Value::Array),
        1 => prop::sample::select(vec![json!(null), json!(1), json!({}), json!([[]])]),
    ]
}

fn document() -> impl Strategy<Value = Map<String, Value>> {
    let names = prop::sample::select(vec![
        "issuer",
        "authorization_endpoint",
        "token_endpoint",
        "pushed_authorization_request_endpoint",
        "device_authorization_endpoint",
        "registration_endpoint",
        "authorization_challenge_endpoint",
        "mtls_endpoint_aliases",
        "jwks_uri",
        "userinfo_endpoint",
        "response_types_supported",
        "response_modes_supported",
        "code_challenge_methods_supported",
    ]);
    let members = prop::collection::btree_map(names, value(), 0..12);
    (members, any::<bool>()).prop_map(|(members, is_usual)| {
        let mut document = Map::new();
        if is_usual {
            let usual = metadata_at("https://login.example");
            document.extend(usual.as_object().unwrap().clone());
            document.insert("issuer".to_owned(), "https://login.example".into());
        }
        for (name, value) in members {
            if !is_usual || !document.contains_key(name) {
                document.insert(name.to_owned(), value);
            }
        }
        document
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Whatever a server says: the file is a configuration of that upstream in report mode, or there is a reason why not.
    #[test]
    fn any_metadata_makes_a_file_that_run_accepts_or_a_reason(
        documents in prop::collection::vec(document(), 1..3),
        from in prop::sample::select(vec!["http://10.0.0.5:9000", "https://login.example", "http://127.0.0.1:8080"]),
    ) {
        let documents: Vec<Document> = documents
            .iter()
            .filter_map(|members| {
                let text = Value::Object(members.clone()).to_string();
                Document::parse("/.well-known/openid-configuration", text.as_bytes())
            })
            .collect();
        match learn(&Url::parse(from).unwrap(), &documents) {
            Err(refusal) => prop_assert!(refusal.to_string().lines().count() <= 2),
            Ok(learned) => {
                let text = written(from, None, &learned);
                prop_assert!(text.is_ascii());
                let table: toml::Table = text.parse().unwrap();
                let keys: Vec<&String> = table.keys().collect();
                prop_assert_eq!(keys, ["admin", "server", "upstream"]);
                let upstreams = table["upstream"].as_array().unwrap();
                prop_assert_eq!(upstreams.len(), 1);
                for key in upstreams[0].as_table().unwrap().keys() {
                    let known = ["name", "url", "public_url", "endpoints", "pkce", "metadata"];
                    prop_assert!(known.contains(&key.as_str()), "{}", key);
                }
                prop_assert_eq!(upstreams[0]["pkce"].as_table().unwrap().len(), 1);
                match config::load(&text, "config.toml", 0) {
                    Ok(checked) => {
                        let upstream = &checked.config.upstreams[0];
                        prop_assert_eq!(upstream.connection.origin(), from);
                        prop_assert_eq!(upstream.gateway.rules.default_rule().mode, Mode::Report);
                    }
                    // Paths that contradict each other are refused with the message of `check`.
                    Err(problems) => prop_assert!(problems.count(Severity::Error) > 0),
                }
            }
        }
    }
}
