//! The length of `state` towards servers that are known to limit it.

use crate::config::problem::Problem;
use crate::config::tree::Table;
use crate::config::upstream::Read;
use crate::config::wording::quoted;
use crate::store::Kind;

/// Hosts, with their subdomains, and the most characters of `state` that they accept.
const LIMITS: [(&str, u16); 4] = [
    ("open.weixin.qq.com", 128),
    ("ultracart.com", 250),
    ("twitter.com", 500),
    ("x.com", 500),
];

/// Warns of sealed handles that are too long for the server: they have up to 512 characters.
pub(crate) fn states(table: &Table<'_>, kind: &Kind, upstreams: &[Read<'_>]) {
    if !matches!(kind, Kind::Sealed { .. }) {
        return;
    }
    for read in upstreams {
        let Some(host) = read.target.as_ref().map(|target| target.host.as_str()) else {
            continue;
        };
        let is_it = |name: &str| {
            let rest = host.strip_suffix(name);
            rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        };
        if let Some((name, most)) = LIMITS.iter().find(|(name, _)| is_it(name)) {
            let message = format!(
                "{} accepts no more than {most} characters of state",
                quoted(name)
            );
            let label = "a sealed sign-in has 230 to 512";
            let help =
                "write kind = \"redis\", or kind = \"memory\": their handles have 32 characters";
            let problem = Problem::warning(table.at("kind"), message, label, help);
            table.push(problem.and_at(read.table.at("url"), "this upstream"));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::testing::{UPSTREAM, problems};

    #[test]
    fn a_sealed_handle_may_be_too_long_for_a_server() {
        let told = |kind: &str, url: &str| {
            let keys = "keys = [{ id = \"a\", file = \"seal\" }]";
            let keys = if kind == "memory" { "" } else { keys };
            let upstream = UPSTREAM.replace("http://127.0.0.1:9000", url);
            let text = format!("[store]\nkind = \"{kind}\"\n{keys}\n{upstream}");
            let told = problems(&text);
            let is_it = |told: &&String| told.contains("characters of state");
            told.iter().find(is_it).cloned()
        };
        let warned = told("sealed", "https://api.x.com").unwrap();
        assert!(
            warned.starts_with(
                "2:8 warning: \"x.com\" accepts no more than 500 characters of state | "
            ),
            "{warned}"
        );
        assert!(told("sealed", "https://x.com").is_some());
        assert_eq!(told("memory", "https://x.com"), None);
        for other in [
            "https://max.com",
            "https://x.com.example",
            "https://192.0.2.1",
        ] {
            assert_eq!(told("sealed", other), None, "{other}");
        }
    }
}
