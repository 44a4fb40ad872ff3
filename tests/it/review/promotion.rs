//! Clients that are promoted from report to enforce (`promote`).

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{client, ends, is_refused, review, signs_in};
use crate::support::gate;
use crate::support::rig::{Config, Rig, authorization_response, target};
use crate::support::scripted::{Act, Then, reply};

/// A gate that keeps its counts in a file.
struct Kept {
    rig: Rig,
    folder: PathBuf,
    config: String,
}

impl Drop for Kept {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.folder).ok();
    }
}

const OBSERVED: &str = "mode = \"report\"";

/// A request of the promoted client without PKCE.
const EXPLAINED: &str = "http://gate.test/authorize?response_type=code&client_id=pub&redirect_uri=https%3A%2F%2Fclient.test%2Fcb&state=s";

impl Kept {
    /// A good client, and one without PKCE, have signed in, eight days ago as far as the file says.
    fn after_a_week() -> Self {
        let folder = gate::scratch();
        let file = folder.join("review.json");
        let tables = format!("[review]\nsnapshot = {file:?}");
        let mut rig = Rig::with(Config {
            server: "drain = \"10ms\"\nworkers = 1",
            // In Redis, the counts are there.
            store: "kind = \"memory\"",
            pkce: OBSERVED,
            tables: &tables,
            ..Config::default()
        })
        .unguarded();
        let good = rig.authorization();
        signs_in(&rig, &good, |code| good.redemption(code));
        let bad = rig.authorization().with("client_id", "none");
        let bad = bad.without_challenge();
        signs_in(&rig, &bad, |code| {
            let redemption = bad.redemption(code).with("client_id", "none");
            redemption.without("code_verifier")
        });
        let config = fs::read_to_string(rig.gate.config_file()).expect("a configuration");
        ends(&mut rig.gate);
        age(&file);
        Self {
            rig,
            folder,
            config,
        }
    }

    fn with(&self, promote: &str) -> String {
        self.config
            .replace(OBSERVED, &format!("{OBSERVED}\n{promote}"))
    }

    /// Whether an authorization request of this client without PKCE is refused.
    fn refuses(&self, client: &str) -> bool {
        let authorization = self.rig.authorization().with("client_id", client);
        let authorization = authorization.without_challenge();
        is_refused(&self.rig.get(&target(&authorization)))
    }

    fn review(&mut self) -> Value {
        review(&mut self.rig)
    }
}

/// Makes everything in the file begin eight days earlier.
fn age(file: &Path) {
    let text = fs::read_to_string(file).expect("a file");
    let mut counts: Value = serde_json::from_str(&text).expect("JSON");
    let rows = counts["upstreams"]["scripted"]
        .as_array_mut()
        .expect("rows");
    for row in rows {
        let first = &mut row[1]["first_seen"];
        *first = (first.as_u64().expect("a time") - 8 * 86_400).into();
    }
    fs::write(file, counts.to_string()).expect("a file");
}

#[test]
fn a_client_that_was_good_for_a_week_is_enforced_and_stays_so() {
    let mut kept = Kept::after_a_week();
    let promoting = kept.with("promote = \"after 7d\"");
    kept.rig.restart(&promoting);
    let log = kept.rig.gate.log();
    assert!(
        log.contains("client_promoted") && log.contains("\"client\":\"pub\""),
        "{log}"
    );
    assert!(kept.refuses("pub"));
    assert!(!kept.refuses("none"));
    // The promoted client gets handles.
    let good = kept.rig.authorization();
    let code = kept.rig.code_for(&good);
    assert_eq!(kept.rig.redeem(&good, &code).status, 200);
    assert_eq!(kept.rig.redeem(&good, &code).status, 400);
    let review = kept.review();
    assert_eq!(client(&review, "pub")["promotion"]["state"], "enforced");
    assert_eq!(client(&review, "pub")["mode"], "enforce");
    assert_eq!(client(&review, "none")["promotion"], Value::Null);
    assert_eq!(client(&review, "none")["mode"], "report");
    assert_eq!(review["promotion"]["enforced"], 1);
    let proposals = "pkce_gate_promoted_clients{upstream=\"scripted\",state=\"enforced\"}";
    assert_eq!(kept.rig.gate.metric(proposals), 1);
    for (arguments, expected) in [
        (&["check"][..], "pub                 enforce  handle"),
        (&["explain", EXPLAINED], "missing_challenge"),
    ] {
        let file = kept.rig.gate.config_file();
        let config = ["--config", file.to_str().expect("UTF-8")];
        let printed = gate::run(&[&arguments[..1], &config[..], &arguments[1..]].concat());
        let printed = String::from_utf8(printed.stdout).expect("UTF-8");
        assert!(printed.contains(expected), "{printed}");
        assert!(printed.contains("enforce"), "{printed}");
    }
    // The refused request above is told, once.
    ends(&mut kept.rig.gate);
    let log = kept.rig.gate.log();
    assert_eq!(log.matches("client_downgraded").count(), 1, "{log}");
    // Without the key the client stays enforced; with its mode written it does not.
    let without = kept.config.clone();
    kept.rig.restart(&without);
    assert!(kept.refuses("pub"));
    assert_eq!(
        client(&kept.review(), "pub")["promotion"]["is_downgraded"],
        true
    );
    let written = format!("{promoting}\n[[upstream.client]]\nid = \"pub\"\nmode = \"report\"\n");
    kept.rig.gate.reload(&written);
    assert!(!kept.refuses("pub"));
    assert_eq!(client(&kept.review(), "pub")["promotion"], Value::Null);
}

#[test]
fn a_proposal_has_the_toml_that_enforces_the_client() {
    let mut kept = Kept::after_a_week();
    let proposing = kept.with("promote = \"propose after 7d\"");
    kept.rig.restart(&proposing);
    assert!(kept.rig.gate.log().contains("promotion_proposed"));
    assert!(!kept.refuses("none"));
    let proposed = kept.review();
    assert_eq!(client(&proposed, "pub")["promotion"]["state"], "proposed");
    assert_eq!(client(&proposed, "pub")["mode"], "report");
    let page = kept.rig.gate.admin("/review");
    assert!(
        page.text().contains("proposed for enforcement since"),
        "{page}"
    );
    let admin = kept.rig.gate.address("admin").to_string();
    let printed = gate::run(&["review", "--admin", &admin]);
    let printed = String::from_utf8(printed.stdout).expect("UTF-8");
    let toml = proposed["promotion"]["to_paste"].as_str().expect("a text");
    assert!(printed.contains(toml.trim_end()), "{printed}");
    let markdown = gate::run(&["review", "--admin", &admin, "--format", "md"]);
    let markdown = String::from_utf8(markdown.stdout).expect("UTF-8");
    let place = "paste this below the last line of the `[[upstream]]`:\n\n```toml\n";
    assert!(
        markdown.contains(&format!("{place}{toml}```")),
        "{markdown}"
    );
    kept.rig.gate.reload(&format!("{proposing}\n{toml}"));
    assert!(kept.refuses("pub"));
    let after = kept.review();
    assert_eq!(client(&after, "pub")["mode"], "enforce");
    assert_eq!(after["promotion"]["to_paste"], Value::Null);
    assert_eq!(after["promotion"]["proposed"], 0);
}

#[test]
fn a_reload_promotes_at_once() {
    let mut kept = Kept::after_a_week();
    let observing = kept.config.clone();
    kept.rig.restart(&observing);
    let promoting = kept.with("promote = \"after 7d\"");
    kept.rig.gate.reload(&promoting);
    kept.rig
        .gate
        .log_until(|log| log.contains("client_promoted"));
    // The worker takes the rules up after the line is written.
    assert!((0..1_000).any(|_| kept.refuses("pub")));
    assert!(kept.refuses("pub"));
}

#[test]
fn a_gate_that_promotes_does_not_start_without_knowing_who_is_enforced() {
    let mut kept = Kept::after_a_week();
    let promoting = kept.with("promote = \"after 7d\"");
    let folder = gate::scratch();
    let file = gate::file(&folder, "config.toml", &promoting);
    for (text, why) in [
        (
            "{\"version\": 9}",
            "it has version 9, and this pkce-gate writes version",
        ),
        ("{\"version\": 2}", "it is not a snapshot of the review"),
        ("{\"version\": 1", "it is not a snapshot of the review"),
    ] {
        fs::write(kept.folder.join("review.json"), text).expect("a file");
        let out = gate::run(&["run", "--config", file.to_str().expect("UTF-8")]);
        assert!(!out.status.success(), "{text}");
        let told = String::from_utf8(out.stderr).expect("UTF-8");
        for part in [
            "review.snapshot",
            why,
            "which clients are enforced",
            "help: ",
        ] {
            assert!(told.contains(part), "{part}: {told}");
        }
    }
    fs::remove_dir_all(folder).expect("a folder");
    // In report mode alone it starts, and says what is wrong.
    let observing = kept.config.clone();
    kept.rig.restart(&observing);
    kept.rig
        .gate
        .log_until(|log| log.contains("review_snapshot_unreadable"));
}

/// The name of an upstream is written differently for a while, or its section is taken out.
#[test]
fn promotions_and_counts_survive_that_their_upstream_is_not_configured_for_a_while() {
    let mut kept = Kept::after_a_week();
    let promoting = kept.with("promote = \"after 7d\"");
    let renamed = promoting.replace("name = \"scripted\"", "name = \"renamed\"");
    kept.rig.restart(&promoting);
    assert!(kept.refuses("pub"));
    kept.rig.gate.reload(&renamed);
    assert!(!kept.refuses("pub"));
    kept.rig.gate.reload(&promoting);
    assert!(kept.refuses("pub"));
    assert_eq!(client(&kept.review(), "none")["authorization"]["none"], 1);
    // The file has them, too, also for a gate that starts without this upstream.
    kept.rig.gate.reload(&renamed);
    ends(&mut kept.rig.gate);
    kept.rig.restart(&renamed);
    assert!(!kept.refuses("pub"));
    kept.rig.gate.reload(&promoting);
    assert!(kept.refuses("pub"));
    assert_eq!(client(&kept.review(), "none")["authorization"]["none"], 1);
}

/// A restart would take the promotion back.
#[test]
fn a_reload_does_not_promote_without_a_file() {
    let mut kept = Kept::after_a_week();
    let promoting = kept.with("promote = \"after 7d\"");
    fs::write(kept.folder.join("review.json"), "{\"version\": 1").expect("a file");
    let observing = kept.config.clone();
    kept.rig.restart(&observing);
    let good = kept.rig.authorization();
    signs_in(&kept.rig, &good, |code| good.redemption(code));
    kept.rig.gate.reload(&promoting);
    let needs_restart = &kept.rig.gate.in_force()["needs_restart"];
    assert_eq!(needs_restart, &json!(["upstream.pkce.promote"]));
}

/// A folder that is not mounted is no file without promotions.
#[test]
fn a_gate_that_promotes_does_not_start_without_the_folder_of_its_file() {
    let kept = Kept::after_a_week();
    fs::rename(&kept.folder, kept.folder.with_extension("away")).expect("a folder");
    let promoting = kept.with("promote = \"after 7d\"");
    let folder = gate::scratch();
    let file = gate::file(&folder, "config.toml", &promoting);
    let out = gate::run(&["run", "--config", file.to_str().expect("UTF-8")]);
    assert!(!out.status.success());
    let told = String::from_utf8(out.stderr).expect("UTF-8");
    assert!(told.contains("review.snapshot"), "{told}");
    fs::rename(kept.folder.with_extension("away"), &kept.folder).expect("a folder");
    fs::remove_dir_all(folder).expect("a folder");
}

#[test]
fn a_sign_in_that_began_before_the_promotion_ends_after_it_and_only_with_its_verifier() {
    for codes in ["", "codes = \"upstream\"", "codes = \"handle\""] {
        let mut kept = Kept::after_a_week();
        let observing = kept.with(codes);
        kept.rig.restart(&observing);
        let good = kept.rig.authorization();
        let response = match kept.rig.get(&target(&good)) {
            entry if entry.status == 303 => {
                kept.rig.get(entry.header("location").expect("an entry"))
            }
            response => response,
        };
        let found = authorization_response(&response, &good).expect("a response");
        let code = found.code().to_owned();
        let promoting = kept.with(&format!("promote = \"after 7d\"\n{codes}"));
        kept.rig.gate.reload(&promoting);
        assert!((0..1_000).any(|_| kept.refuses("pub")));
        let redemptions = kept.rig.upstream.redemptions().len();
        let stolen = good.redemption(&code).without("code_verifier");
        assert_eq!(kept.rig.token(&stolen).status, 400, "{codes}");
        assert_eq!(kept.rig.upstream.redemptions().len(), redemptions);
        assert_eq!(kept.rig.redeem(&good, &code).status, 200, "{codes}");
        assert_eq!(kept.rig.redeem(&good, &code).status, 400, "{codes}");
    }
}

/// Its requests may be of any client, so the first promotion would break a client that works.
#[test]
fn no_client_is_promoted_while_a_client_with_request_objects_signs_in() {
    let mut kept = Kept::after_a_week();
    let observing = kept.config.clone();
    kept.rig.restart(&observing);
    let jar = kept.rig.authorization().with("client_id", "jar");
    signs_in(&kept.rig, &jar, |code| {
        jar.redemption(code).with("client_id", "jar")
    });
    let object = "/authorize?response_type=code&client_id=jar&request=eyJh.eyJh.x&state=s";
    assert_eq!(kept.rig.get(object).status, 302);
    let promoting = kept.with("promote = \"after 7d\"");
    kept.rig.gate.reload(&promoting);
    let review = kept.review();
    assert_eq!(review["promotion"]["waits_for"], serde_json::json!(["jar"]));
    ends(&mut kept.rig.gate);
    kept.rig.restart(&promoting);
    assert!(!kept.rig.gate.log().contains("client_promoted"));
    assert_eq!(kept.rig.get(object).status, 302);
    let page = kept.rig.gate.admin("/review");
    assert!(
        page.text()
            .contains("no client is promoted until they are gone")
    );
}

/// An attacker with an account signs in at the server in the name of a client, but does not have its secret.
#[test]
fn a_sign_in_that_the_server_does_not_accept_is_not_good() {
    let mut kept = Kept::after_a_week();
    let observing = kept.config.clone();
    kept.rig.restart(&observing);
    kept.rig.upstream.on(
        "/token",
        Act::Say(reply("401 Unauthorized", &[], b"{}"), Then::GoOn),
    );
    let attack = kept.rig.authorization().with("client_id", "rare");
    let response = kept.rig.get(&target(&attack));
    let found = authorization_response(&response, &attack).expect("a code");
    let form = attack.redemption(found.code()).with("client_id", "rare");
    assert_eq!(kept.rig.token(&form).status, 401);
    let review = kept.review();
    let rare = client(&review, "rare");
    assert_eq!(rare["redemption"]["verified"], 1);
    assert_eq!(rare["last_good"], Value::Null);
    assert_eq!(rare["verdict"], "not_seen");
}

/// A request object may name any client, also the promoted one.
#[test]
fn a_request_that_may_be_of_any_client_is_refused_from_the_first_promotion_on() {
    let mut kept = Kept::after_a_week();
    let of_others = [
        "/authorize?response_type=code&client_id=unknown&request=eyJh.eyJh.x&state=s",
        "/authorize?client_id=unknown&request_uri=urn%3Aa%3Ab",
    ];
    for (config, status) in [
        (kept.config.clone(), 302),
        (kept.with("promote = \"after 7d\""), 400),
    ] {
        kept.rig.restart(&config);
        for target in of_others {
            assert_eq!(kept.rig.get(target).status, status, "{target}");
        }
        assert!(!kept.refuses("none"));
        ends(&mut kept.rig.gate);
    }
}
