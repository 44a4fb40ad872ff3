//! `[store]`: where records are kept, for how long, and how many.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::ca;
use super::context::{Context, NamedFile};
use super::problem::{Problem, Span};
use super::sections::TIMEOUT;
use super::tree::Table;
use super::upstream::Read;
use super::value::{Kind, TEXT, Wrong};
use super::wording::quoted;
use crate::policy::Mode;
use crate::store::{self, KeyFile, Remote, Target, key_of};

/// The word of `kind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    Memory,
    Sealed,
    Redis,
}

/// `"redis://127.0.0.1:6379"`.
const DEPLOYMENT: Kind<Target> = Kind::new(
    "the URL of a server, of sentinels or of a cluster",
    "redis://127.0.0.1:6379",
    |url| {
        Target::parse(url)
            .map_err(|bad| Wrong::new("not the URL of a Redis deployment", bad.to_string()))
    },
);

/// The largest value of `min_replicas`.
const MOST_REPLICAS: u32 = 16;

/// The default of `key_prefix`.
const PREFIX: &str = "pkce-gate";

/// Reads `[store]`, and the tables of its keys.
pub(super) fn read<'t>(
    table: &Table<'t>,
    context: &Context<'_>,
) -> (store::Settings, store::Kind, Vec<Table<'t>>) {
    /// The range of record lifetimes.
    const LIFE: RangeInclusive<Duration> = Duration::from_secs(10)..=Duration::from_hours(24);
    let default = store::Settings::DEFAULT;
    let kinds = [
        ("memory", Word::Memory),
        ("sealed", Word::Sealed),
        ("redis", Word::Redis),
    ];
    let kind = table.words("kind", Word::Memory, &kinds);
    let tables = table.tables("store.keys");
    let keys: Vec<KeyFile> = tables.iter().map(|table| key(table, context)).collect();
    different(&tables, &keys, context);
    let shared = table.words("claims", false, &[("local", false), ("redis", true)]);
    let remote = remote(table, context);
    let kind = match (kind, remote) {
        (Word::Memory, _) => store::Kind::Memory,
        (Word::Redis, Some(at)) => store::Kind::Redis { keys, at },
        // Without a URL, `check` reports that it is missing.
        (Word::Redis, None) => store::Kind::Sealed { keys, claims: None },
        (Word::Sealed, remote) => store::Kind::Sealed {
            keys,
            claims: remote.filter(|_| shared),
        },
    };
    let settings = store::Settings {
        pending: table.duration("pending", default.pending, LIFE),
        code: table.duration("code", default.code, LIFE),
        capacity: table.integer("capacity", default.capacity, 1_000..=1_000_000_000),
        per_client: table.share("per_client", default.per_client),
        per_network: table.share("per_network", default.per_network),
        network_rate: table.integer("network_rate", default.network_rate, 1..=1_000_000),
        attempts: table.integer("attempts", default.attempts, 1..=100),
    };
    (settings, kind, tables)
}

/// Reads the keys about Redis. `None`: there is no valid URL.
fn remote(table: &Table<'_>, context: &Context<'_>) -> Option<Remote> {
    let target = table.find("url", &DEPLOYMENT);
    let password = password(table, target.as_ref(), context);
    let ca = table.find("ca", &TEXT);
    let prefix = table.text("key_prefix", &TEXT, PREFIX.to_owned());
    let deadline = table.duration("deadline", Duration::from_millis(250), TIMEOUT);
    let min_replicas = table.integer("min_replicas", 0, 0..=MOST_REPLICAS);
    let fails_readiness = table.flag("fail_readiness", false);
    let ca = ca.map(|file| context.directory.join(file));
    let mut target = target?;
    if let Some(password) = password {
        target = target.with_password(password);
    }
    if let Some(file) = &ca {
        if target.has_tls() {
            ca::check(table, file, context);
        } else {
            let message = format!("{} needs TLS", table.name("ca"));
            let label = "nothing is checked against it without TLS";
            let help = "remove it, or write url = \"rediss://…\"";
            table.push(Problem::error(table.at("ca"), message, label, help));
        }
    }
    Some(Remote {
        target,
        ca,
        prefix,
        deadline,
        min_replicas,
        fails_readiness,
    })
}

/// Reads `password_file`. `None`: the URL has the password, or there is none.
fn password(table: &Table<'_>, target: Option<&Target>, context: &Context<'_>) -> Option<String> {
    let has = target.and_then(Target::has_password);
    let Some(file) = table.find("password_file", &TEXT) else {
        if has == Some(false) && !table.has("password_file") {
            let message = "the password for Redis is missing";
            let label = "a user without a password";
            let help = "write it after the colon, or add password_file = \"…\"";
            table.push(Problem::error(table.at("url"), message, label, help));
        }
        return None;
    };
    if has == Some(true) {
        let message = "there are two passwords for Redis";
        let label = "the URL has one already";
        let help = "remove one of them; in the URL, the colon after the user stays";
        table.push(Problem::error(
            table.at("password_file"),
            message,
            label,
            help,
        ));
    }
    let file = context.directory.join(file);
    let label = match context.read(&file).map(String::from_utf8) {
        Err(error) => error.to_string(),
        Ok(Ok(text)) => match text.trim_end_matches(['\r', '\n']) {
            "" => "it is empty".to_owned(),
            line if line.contains('\n') => "it has more than one line".to_owned(),
            line => return Some(line.to_owned()),
        },
        Ok(Err(_)) => "it is not UTF-8".to_owned(),
    };
    let message = format!("{} cannot be used", quoted(&file.display().to_string()));
    let help = "write the path of a file with the password in one line; relative paths begin beside this file";
    let at = table.at("password_file");
    table.push(Problem::error(at, message, label, help));
    None
}

/// Reads one element of `keys`, and checks its file.
fn key(table: &Table<'_>, context: &Context<'_>) -> KeyFile {
    let label = "each key has a name of its own";
    table.require(
        "id",
        label,
        "add id = \"…\", for example the month in which the key was made",
    );
    let label = "which file contains the key?";
    table.require(
        "file",
        label,
        "add file = \"…\"; `pkce-gate keygen` makes the content",
    );
    let id = table.find("id", &TEXT).unwrap_or_default();
    let file = table.find("file", &TEXT).unwrap_or_default();
    let file = context.directory.join(file);
    if table.is_good("file") && table.has("file") {
        let label = match context.read(&file) {
            Err(error) => Some(error.to_string()),
            Ok(text) if key_of(&text).is_none() => {
                Some("it does not contain 32 bytes in base64".to_owned())
            }
            Ok(_) => None,
        };
        if let Some(label) = label {
            let message = format!("{} cannot be used", quoted(&file.display().to_string()));
            let help = "make it with `pkce-gate keygen`; relative paths begin beside this file";
            table.push(Problem::error(table.at("file"), message, label, help));
        }
    }
    KeyFile { id, file }
}

/// Checks that the keys belong together, and to the kind of store.
pub(super) fn check(
    table: &Table<'_>,
    tables: &[Table<'_>],
    kind: &store::Kind,
    upstreams: &[Read<'_>],
) {
    let is = |key: &str, word: &str| {
        let entry = table.entry(key).and_then(|entry| entry.value.as_str());
        entry == Some(word)
    };
    let is_redis = is("kind", "redis") || is("kind", "sealed") && is("claims", "redis");
    if !is_redis && table.is_good("kind") && table.is_good("claims") {
        without_use(table, is("claims", "redis"));
    }
    if is_redis && !table.has("url") {
        let key = if is("kind", "redis") {
            "kind"
        } else {
            "claims"
        };
        let label = "where is Redis?";
        let help = "add url = \"redis://127.0.0.1:6379\"";
        table.push(Problem::error(
            table.at(key),
            "`store.url` is missing",
            label,
            help,
        ));
    }
    match kind {
        store::Kind::Memory => {
            if table.has("keys") {
                let label = "kind = \"memory\" would ignore them";
                let help = "write kind = \"sealed\", or remove them";
                let message = "`store.keys` needs another kind of store";
                table.push(Problem::error(table.at("keys"), message, label, help));
            }
        }
        store::Kind::Sealed { keys, .. } | store::Kind::Redis { keys, .. } => {
            if keys.is_empty() {
                let label = "records are encrypted: with which key?";
                let help = "add keys = [{ id = \"…\", file = \"…\" }]; `pkce-gate keygen` makes a key file";
                let message = "`store.keys` is missing";
                table.push(Problem::error(table.at("kind"), message, label, help));
            }
            unique(tables, keys);
        }
    }
    if let Some(at) = kind.remote() {
        in_the_clear(table, at);
    }
    if matches!(kind, store::Kind::Sealed { claims: None, .. }) && !is_redis {
        kept_here(table, upstreams);
    }
}

/// Reports keys about Redis that would be ignored. Those with their default are accepted: `config.toml` has them.
fn without_use(table: &Table<'_>, claims: bool) {
    let is_other = |key: &str, default: &str| {
        let entry = table.entry(key);
        let text = entry.and_then(|entry| entry.value.as_str());
        entry.is_some() && text != Some(default)
    };
    let replicas = table.entry("min_replicas");
    let replicas = replicas.and_then(|entry| entry.value.as_integer());
    let flag = table.entry("fail_readiness");
    let flag = flag.and_then(|entry| entry.value.as_bool());
    let used = [
        ("url", table.has("url")),
        ("password_file", table.has("password_file")),
        ("ca", table.has("ca")),
        ("claims", claims),
        ("key_prefix", is_other("key_prefix", PREFIX)),
        ("deadline", is_other("deadline", "250ms")),
        (
            "min_replicas",
            replicas.is_some_and(|number| number.as_str() != "0"),
        ),
        ("fail_readiness", flag == Some(true)),
    ];
    for (key, _) in used.into_iter().filter(|(_, is_used)| *is_used) {
        let message = format!("{} has no use here", table.name(key));
        let label = "neither the records nor the claims are in Redis";
        let help =
            "write kind = \"redis\", or kind = \"sealed\" and claims = \"redis\", or remove it";
        table.push(Problem::error(table.at(key), message, label, help));
    }
}

/// Warns of a Redis that is reached over a network without TLS.
fn in_the_clear(table: &Table<'_>, at: &Remote) {
    if at.target.is_exposed() {
        table.push(Problem::warning(
            table.at("url"),
            "Redis is reached over a network without TLS",
            "on the way, the password can be read, and claims can be changed",
            "write rediss://, or run it on this machine",
        ));
    }
}

fn unique(tables: &[Table<'_>], keys: &[KeyFile]) {
    let mut seen: Vec<(&KeyFile, Span)> = Vec::new();
    for (table, key) in tables.iter().zip(keys) {
        if let Some((_, first)) = seen.iter().find(|(earlier, _)| earlier.id == key.id) {
            let message = format!("two keys have the id {}", quoted(&key.id));
            let help = "give each key an id of its own, also when its file is replaced";
            let problem = Problem::error(table.at("id"), message, "again", help);
            table.push(problem.and_at(*first, "here already"));
        }
        seen.push((key, table.at("id")));
    }
}

/// Reports a key that stands in two files: its replacement would replace nothing.
fn different(tables: &[Table<'_>], keys: &[KeyFile], context: &Context<'_>) {
    let files = context.files.borrow();
    let mut seen: Vec<(&NamedFile, Span)> = Vec::new();
    for (table, key) in tables.iter().zip(keys) {
        let Some(file) = files.iter().find(|file| file.path == key.file) else {
            continue;
        };
        if let Some((_, first)) = seen.iter().find(|(other, _)| other.sha256 == file.sha256) {
            let label = "the same key as the other one";
            let help = "make another key with `pkce-gate keygen`, or remove one of them";
            let problem = Problem::error(table.at("file"), "two keys are equal", label, help);
            table.push(problem.and_at(*first, "here already"));
        }
        seen.push((file, table.at("file")));
    }
}

/// Warns of clients whose records are not in handles.
fn kept_here(table: &Table<'_>, upstreams: &[Read<'_>]) {
    let without_handles = upstreams.iter().any(|read| {
        let clients = read.clients.iter().map(|(_, client)| &client.rule);
        let mut rules = clients.chain([read.gateway.rules.default_rule()]);
        rules.any(|rule| {
            rule.mode == Mode::Report || rule.mode == Mode::Enforce && rule.lets_codes_through()
        })
    });
    if without_handles {
        table.push(Problem::warning(
            table.at("kind"),
            "some clients get no handles, so this process keeps their records in its memory",
            "a restart forgets these, and another replica does not know them",
            "that concerns codes = \"upstream\", responses with code and id_token, and mode = \"report\", whose reports are then incomplete with replicas",
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::{UPSTREAM, check, config, load, problems};

    #[test]
    fn store_settings_are_read() {
        let store = "pending = \"10m\"\ncode = \"60s\"\ncapacity = 5000\nattempts = 1";
        let settings = config(&format!("[store]\n{store}\n{UPSTREAM}")).store;
        assert_eq!(config(UPSTREAM).kind, store::Kind::Memory);
        assert_eq!(settings.pending, Duration::from_mins(10));
        assert_eq!(settings.code, Duration::from_mins(1));
        assert_eq!((settings.capacity, settings.attempts), (5000, 1));
    }

    #[test]
    fn a_sealed_store_has_keys() {
        let keys = "[{ id = \"a\", file = \"seal\" }]";
        let store = format!("[store]\nkind = \"sealed\"\nkeys = {keys}\n{UPSTREAM}");
        let key = KeyFile {
            id: "a".to_owned(),
            file: "etc/seal".into(),
        };
        let keys = vec![key];
        let claims = None;
        assert_eq!(config(&store).kind, store::Kind::Sealed { keys, claims });
    }

    #[test]
    fn keys_that_cannot_be_used_are_reported() {
        check(
            "[store]\nkind = \"sealed\"",
            &[
                "2:8 error: `store.keys` is missing | records are encrypted: with which key? | \
               add keys = [{ id = \"…\", file = \"…\" }]; `pkce-gate keygen` makes a key file",
            ],
        );
        check(
            "[store]\nkeys = [{ id = \"a\", file = \"empty.pem\" }]",
            &[
                "2:8 error: `store.keys` needs another kind of store | kind = \"memory\" would ignore them | \
               write kind = \"sealed\", or remove them",
                "2:28 error: \"etc/empty.pem\" cannot be used | it does not contain 32 bytes in base64 | \
               make it with `pkce-gate keygen`; relative paths begin beside this file",
            ],
        );
    }

    #[test]
    fn two_keys_are_different() {
        let text = |second: &str| {
            let keys = format!(
                "[{{ id = \"a\", file = \"seal\" }}, {{ id = \"b\", file = \"{second}\" }}]"
            );
            format!("[store]\nkind = \"sealed\"\nkeys = {keys}\n{UPSTREAM}")
        };
        let expected = "3:57 error: two keys are equal | the same key as the other one | \
                        make another key with `pkce-gate keygen`, or remove one of them";
        assert_eq!(problems(&text("seal"))[0], expected);
        assert_eq!(problems(&text("same-seal"))[0], expected);
        assert_eq!(config(&text("other-seal")).kind.remote(), None);
    }

    /// A message must not contain an example that looks like a password, because passwords in messages are hidden.
    #[test]
    fn the_help_about_a_missing_password_is_readable() {
        for url in ["redis://gate@a", "redis://gate:@a"] {
            let keys = "keys = [{ id = \"a\", file = \"seal\" }]";
            let text = format!("[store]\nkind = \"redis\"\nurl = {url:?}\n{keys}\n{UPSTREAM}");
            let shown = load(&text).unwrap_err().to_string();
            let help = shown.lines().find(|line| line.contains("help: "));
            let help = help.unwrap_or_default();
            assert!(help.contains("colon") && !help.contains('*'), "{shown}");
        }
    }

    #[test]
    fn a_store_in_redis_has_a_url_and_keys() {
        let keys = "keys = [{ id = \"a\", file = \"seal\" }]";
        let text = |store: &str| format!("[store]\n{store}\n{keys}\n{UPSTREAM}");
        let url = "url = \"rediss+sentinel://:secret@a:26379,b:26379/main\"\nca = \"ca.pem\"";
        let remote = |store: &str| config(&text(store)).kind.remote().cloned();
        let more = "deadline = \"100ms\"\nmin_replicas = 2";
        let at = remote(&format!("kind = \"redis\"\n{url}\n{more}")).unwrap();
        assert_eq!(at.min_replicas, 2);
        assert_eq!(at.ca, Some("etc/ca.pem".into()));
        assert_eq!(
            (at.prefix.as_str(), at.deadline),
            ("pkce-gate", Duration::from_millis(100))
        );
        assert!(!format!("{at:?}").contains("secret"));
        assert!(remote(&format!("kind = \"sealed\"\nclaims = \"redis\"\n{url}")).is_some());
        assert_eq!(remote("kind = \"sealed\""), None);
        let told = problems(&text(
            "kind = \"redis\"\nurl = \"redis://[::1]\"\nca = \"ca.pem\"",
        ));
        assert!(
            told[0].starts_with("4:6 error: `store.ca` needs TLS | "),
            "{told:?}"
        );
        let told = problems(&text(
            "kind = \"redis\"\nurl = \"rediss://a\"\nca = \"empty.pem\"",
        ));
        assert!(told[0].contains("it contains no certificate"), "{told:?}");
        check(
            "[store]\nkind = \"redis\"\nkeys = [{ id = \"a\", file = \"seal\" }]",
            &[
                "2:8 error: `store.url` is missing | where is Redis? | add url = \"redis://127.0.0.1:6379\"",
            ],
        );
    }

    #[test]
    fn the_password_is_in_the_url_or_in_a_file() {
        let keys = "keys = [{ id = \"a\", file = \"seal\" }]";
        let text = |url: &str, file: &str| {
            let url = format!("url = \"redis://{url}127.0.0.1\"");
            format!("[store]\nkind = \"redis\"\n{url}\n{file}\n{keys}\n{UPSTREAM}")
        };
        for (credentials, user) in [("", ""), ("gate:@", "gate")] {
            let config = config(&text(credentials, "password_file = \"secret\""));
            let target = &config.kind.remote().unwrap().target;
            let same = format!("redis://{user}:canary@127.0.0.1");
            assert_eq!(target, &Target::parse(&same).unwrap());
            assert!(!format!("{config:?}").contains("canary"));
        }
        for (credentials, file, told) in [
            (
                "gate:@",
                "",
                "3:7 error: the password for Redis is missing | a user without a password | ",
            ),
            (
                "gate:x@",
                "password_file = \"secret\"",
                "4:17 error: there are two passwords for Redis | ",
            ),
            (
                "gate:@",
                "password_file = \"none\"",
                "4:17 error: \"etc/none\" cannot be used | no such file | ",
            ),
            (
                "",
                "password_file = \"empty.pem\"",
                "4:17 error: \"etc/empty.pem\" cannot be used | it is empty | ",
            ),
            (
                "",
                "password_file = \"ca.pem\"",
                "4:17 error: \"etc/ca.pem\" cannot be used | it has more than one line | ",
            ),
        ] {
            let found = problems(&text(credentials, file));
            assert!(found[0].starts_with(told), "{found:?}");
            assert_eq!(found.len(), 1, "{found:?}");
        }
    }

    #[test]
    fn keys_about_redis_are_not_ignored() {
        let keys = "keys = [{ id = \"a\", file = \"seal\" }]";
        for (store, used, at) in [
            (
                "kind = \"memory\"",
                "url = \"redis://127.0.0.1:6379\"",
                "3:7",
            ),
            ("kind = \"memory\"", "claims = \"redis\"", "3:10"),
            ("kind = \"memory\"", "deadline = \"1s\"", "3:12"),
            ("kind = \"memory\"", "key_prefix = \"x\"", "3:14"),
            (keys, "kind = \"sealed\"\nca = \"ca.pem\"", "4:6"),
            (keys, "kind = \"sealed\"\nfail_readiness = true", "4:18"),
            ("kind = \"memory\"", "min_replicas = 1", "3:16"),
        ] {
            let text = format!("[store]\n{store}\n{used}\n{UPSTREAM}");
            let told = problems(&text);
            let key = used.lines().last().unwrap().split(' ').next().unwrap();
            let start = format!("{at} error: `store.{key}` has no use here | ");
            assert!(told.iter().any(|told| told.starts_with(&start)), "{told:?}");
        }
    }

    #[test]
    fn redis_without_tls_on_another_machine_is_warned_of() {
        let keys = "keys = [{ id = \"a\", file = \"seal\" }]";
        for (url, is_warned) in [
            ("redis://127.0.0.1:6379", false),
            ("redis://localhost:6379", false),
            ("redis://[::1]:6379", false),
            ("rediss://redis.example:6379", false),
            ("redis://redis.example:6379", true),
            ("redis+sentinel://127.0.0.1:26379,10.0.0.1:26379/main", true),
            ("redis+cluster://10.0.0.1:6379", true),
        ] {
            let text = format!("[store]\nkind = \"redis\"\nurl = {url:?}\n{keys}\n{UPSTREAM}");
            let told = problems(&text);
            let warning = "3:7 warning: Redis is reached over a network without TLS | ";
            let is_it = |told: &String| told.starts_with(warning);
            assert_eq!(told.iter().any(is_it), is_warned, "{url}: {told:?}");
        }
    }
}
