//! `check`: reports the problems of a configuration, or the rules that apply to each client.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;
use std::process::ExitCode;

use annotate_snippets::Renderer;

use super::against;
use super::options::Check;
use super::remote;
use super::terminal::{CONFIG, complain};
use crate::app;
use crate::app::open_files::{self, Need};
use crate::clock;
use crate::clock::date;
use crate::config::{self, Checked, Config, Problems, Severity, Upstream};
use crate::oauth::ResponseType;
use crate::policy::ClientRule;
use crate::policy::Rule;

/// Prints the policy of a valid configuration, or all problems of an invalid one.
pub(super) fn execute(Check { file, against }: &Check) -> ExitCode {
    let today = clock::today();
    let (text, checked) = match load(&file.config, today) {
        Ok(read) => read,
        Err(code) => return code,
    };
    let (need, available) = (Need::of(&checked.config), open_files::available());
    if available < need.total() {
        complain(&format!(
            "warning: the limit on open files is {available}, but the configuration needs {}: {} for connections, {} for \
             requests in flight, {} others\nhelp: raise the limit where the gate runs (LimitNOFILE= in systemd, ulimits in \
             Compose); otherwise fewer connections and requests are admitted",
            need.total(),
            need.connections,
            need.requests,
            need.fixed
        ));
    }
    for warning in remote::warnings(&checked.config) {
        complain(&warning);
    }
    let name = file.config.display();
    let mut in_force = checked.config.clone();
    promote(&mut in_force);
    let mut report = format!("{}{name}: ok\n", policy(&in_force, today));
    if let Some(admin) = against {
        match against::compare(*admin, &text, &checked.config) {
            Ok(compared) => report += &compared,
            Err(error) => {
                complain(&format!("error: {error}"));
                return ExitCode::FAILURE;
            }
        }
    }
    match io::stdout().lock().write_all(report.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Applies the promotions that the gate has made, or warns that they are not known.
pub(super) fn promote(config: &mut Config) {
    if let Err(lost) = app::promote(config) {
        complain(&format!("warning: {lost}"));
    }
}

/// Reads and checks a file; also used by `run`. Prints warnings and errors. `Err` is the exit code.
pub(super) fn load(path: &Path, today: u64) -> Result<(String, Checked), ExitCode> {
    let name = path.display().to_string();
    let text = config::file::read(path).map_err(|unreadable| {
        complain(&format!("error: {unreadable}\nhelp: {}", unreadable.help));
        ExitCode::from(CONFIG)
    })?;
    if let Some(doubt) = clock::doubt() {
        complain(&format!(
            "warning: the system clock shows an impossible date, {}\nhelp: correct the clock; until then no exception applies",
            date::format(doubt.shows)
        ));
    }
    match config::load(&text, &name, today) {
        Ok(checked) => {
            print(&checked.warnings);
            Ok((text, checked))
        }
        Err(problems) => {
            print(&problems);
            complain(&format!("error: {name}: {}", count(&problems)));
            Err(ExitCode::from(CONFIG))
        }
    }
}

/// The numbers of problems, such as `2 errors, 1 warning`.
fn count(problems: &Problems) -> String {
    let of = |severity, name| match problems.count(severity) {
        0 => None,
        1 => Some(format!("1 {name}")),
        count => Some(format!("{count} {name}s")),
    };
    let counts = [
        of(Severity::Error, "error"),
        of(Severity::Warning, "warning"),
    ];
    let counts: Vec<String> = counts.into_iter().flatten().collect();
    counts.join(", ")
}

fn print(problems: &Problems) {
    let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let colours = wanted && io::stderr().is_terminal();
    let renderer = if colours {
        Renderer::styled()
    } else {
        Renderer::plain()
    };
    // Failures are ignored: standard error is closed.
    let _gone = io::stderr()
        .lock()
        .write_all(problems.render(&renderer).as_bytes());
}

/// The rules that apply today, by upstream and client.
fn policy(config: &Config, today: u64) -> String {
    config
        .upstreams
        .iter()
        .map(|upstream| heading(upstream) + &table(upstream, today) + &open_to(upstream) + "\n")
        .collect()
}

/// The public address of the upstream and its own.
fn heading(upstream: &Upstream) -> String {
    let gateway = &upstream.gateway;
    let hosts = if gateway.hosts.is_empty() {
        "any host".to_owned()
    } else {
        gateway.hosts.join(", ")
    };
    format!(
        "{}: {}{} ({hosts}) -> {}\n",
        gateway.name,
        gateway.public_origin,
        gateway.prefix,
        upstream.connection.origin()
    )
}

/// Suggests `hosts` for an upstream with a public URL that accepts requests for any host.
fn open_to(upstream: &Upstream) -> String {
    let gateway = &upstream.gateway;
    match gateway.public_origin.strip_prefix("https://") {
        Some(host) if gateway.hosts.is_empty() => {
            format!("  hosts = [\"{host}\"] would refuse requests for other hosts\n")
        }
        Some(_) | None => String::new(),
    }
}

type Row = [String; 7];

fn table(upstream: &Upstream, today: u64) -> String {
    let rules = &upstream.gateway.rules;
    let mut clients: Vec<&ClientRule> = rules.clients().collect();
    clients.sort_by(|a, b| a.id.cmp(&b.id));
    let mut rows = vec![
        [
            "client", "mode", "codes", "methods", "types", "until", "owner",
        ]
        .map(str::to_owned),
        row("every other client", rules.default_rule(), "", ""),
    ];
    rows.extend(clients.into_iter().map(|client| client_row(client, today)));
    let widths = widths(&rows);
    rows.iter().map(|row| line(row, &widths)).collect()
}

fn client_row(client: &ClientRule, today: u64) -> Row {
    let ended = client.until.is_some_and(|until| until < today);
    let rule = if ended {
        &client.afterwards
    } else {
        &client.rule
    };
    let until = client.until.map_or_else(String::new, date::format);
    let until = if ended { until + " (ended)" } else { until };
    let owner = client.owner.as_deref().unwrap_or_default();
    row(&client.id, rule, &until, owner)
}

fn row(client: &str, rule: &Rule, until: &str, owner: &str) -> Row {
    let codes = if rule.uses_handles() {
        "handle"
    } else {
        "upstream"
    };
    let methods = match (rule.plain_allowed, rule.challenge_required) {
        (false, true) => "S256",
        (true, true) => "S256, plain",
        (false, false) => "S256, none",
        (true, false) => "S256, plain, none",
    };
    let types: Vec<&str> = rule
        .response_types
        .iter()
        .map(ResponseType::as_str)
        .collect();
    [
        client,
        rule.mode.as_str(),
        codes,
        methods,
        &types.join(", "),
        until,
        owner,
    ]
    .map(|cell| {
        if cell.is_empty() {
            "-".to_owned()
        } else {
            cell.to_owned()
        }
    })
}

fn widths(rows: &[Row]) -> [usize; 7] {
    let mut widths = [0; 7];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    widths
}

fn line(row: &Row, widths: &[usize; 7]) -> String {
    let cells = row.iter().zip(widths);
    let padded: Vec<String> = cells
        .map(|(cell, &width)| format!("{cell:<width$}"))
        .collect();
    format!("  {}\n", padded.join("  ").trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
        [[upstream]]
        name = "legacy"
        url = "https://10.1.2.3"
        hosts = ["login.example.com"]
        public_url = "https://login.example.com"
        [upstream.endpoints]
        authorization = ["/authorize"]
        token = ["/token"]
        [[upstream.client]]
        id = "old-erp"
        mode = "report"
        until = "2027-03-31"
        owner = "erp-team@example.com"
        reason = "vendor upgrade in March"
        [[upstream.client]]
        id = "kiosk"
        mode = "off"
        methods = ["S256", "plain"]
        response_types = ["code", "id_token code"]
        until = 2026-01-31
        owner = "kiosk@example.com"
        reason = "to be replaced"
    "#;

    #[test]
    fn the_policy_is_printed_as_a_table() {
        let today = date::parse("2026-06-01").unwrap();
        let checked = config::load(TEXT, "config.toml", today).unwrap();
        assert_eq!(
            policy(&checked.config, today),
            "\
legacy: https://login.example.com/ (login.example.com) -> https://10.1.2.3
  client              mode     codes   methods  types  until               owner
  every other client  enforce  handle  S256     code   -                   -
  kiosk               enforce  handle  S256     code   2026-01-31 (ended)  kiosk@example.com
  old-erp             report   handle  S256     code   2027-03-31          erp-team@example.com

"
        );
        // Without `hosts`, a value is suggested.
        let open = TEXT.replace("hosts = [\"login.example.com\"]", "");
        let open = config::load(&open, "config.toml", today).unwrap();
        let report = policy(&open.config, today);
        let hint = "\n  hosts = [\"login.example.com\"] would refuse requests for other hosts\n";
        assert!(report.contains(hint), "{report}");
        let before = date::parse("2026-01-31").unwrap();
        assert_eq!(
            policy(&checked.config, before),
            "\
legacy: https://login.example.com/ (login.example.com) -> https://10.1.2.3
  client              mode     codes     methods      types                until       owner
  every other client  enforce  handle    S256         code                 -           -
  kiosk               off      upstream  S256, plain  code, code id_token  2026-01-31  kiosk@example.com
  old-erp             report   handle    S256         code                 2027-03-31  erp-team@example.com

"
        );
    }

    #[test]
    fn problems_are_counted() {
        let count = |text| count(&config::load(text, "config.toml", 0).unwrap_err());
        assert_eq!(count(""), "1 error");
        let endpoints = "[upstream.endpoints]\nauthorization = []\ntoken = []\n";
        let text = format!("[[upstream]]\nurl = 'http://10.0.0.1'\n{endpoints}");
        assert_eq!(count(&text), "2 errors, 1 warning");
    }
}
