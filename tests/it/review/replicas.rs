//! The review of gates that share a Redis: it has what all of them counted, and agrees with their logs and metrics.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::page::now;
use super::{client, is_refused};
use crate::support::client::Authorization;
use crate::support::dice::{Dice, setting};
use crate::support::gate::{self, Gate};
use crate::support::http::{Request, Response};
use crate::support::params::{Params, s256, unguessable};
use crate::support::redis::Redis;
use crate::support::redis::resp::Reply;
use crate::support::rig::{Config, REDIRECT_URI};
use crate::support::scripted::Scripted;
use crate::support::store::seal_key;

/// Clients of which half are enforced.
const CLIENTS: usize = 20;

fn name(number: usize) -> String {
    format!("client-{number}x")
}

/// Gates with one Redis, in front of one upstream.
struct Replicas {
    redis: Redis,
    upstream: Scripted,
    config: String,
    gates: Vec<Gate>,
}

impl Replicas {
    fn start(count: usize) -> Self {
        let (redis, upstream) = (Redis::single(), Scripted::start());
        let key = seal_key();
        let store = format!(
            "kind = \"redis\"\nurl = \"redis://{}\"\ndeadline = \"5s\"\nkeys = [{{ id = \"test\", file = {key:?} }}]",
            redis.address()
        );
        let enforced = (0..CLIENTS).filter(|number| number % 2 == 1);
        let tables: Vec<String> = enforced
            .map(|number| {
                format!(
                    "[[upstream.client]]\nid = {:?}\nmode = \"enforce\"\n",
                    name(number)
                )
            })
            .collect();
        let tables = tables.concat();
        let config = Config {
            server: "drain = \"10ms\"",
            store: &store,
            log: "level = \"debug\"",
            pkce: "mode = \"report\"",
            tables: &tables,
            ..Config::default()
        };
        let config = config.render(&upstream);
        let gates = (0..count).map(|_| Gate::start(&config)).collect();
        Self {
            redis,
            upstream,
            config,
            gates,
        }
    }

    fn origins(&mut self) -> Vec<String> {
        let gates = self.gates.iter_mut();
        let addresses = gates.map(|gate| gate.address("server"));
        addresses
            .map(|address| format!("http://{address}"))
            .collect()
    }

    /// Makes every gate write what it has counted.
    fn write(&self) {
        for gate in &self.gates {
            gate.reload(&self.config);
        }
    }

    fn review(&mut self, gate: usize) -> Value {
        let gate = &mut self.gates[gate];
        gate.admin("/review.json").json()["upstreams"][0].clone()
    }

    /// The review of a gate once it has so many violations: what others counted arrives after a moment.
    #[track_caller]
    fn review_until(&mut self, gate: usize, is_it: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..500 {
            let review = self.review(gate);
            if is_it(&review) {
                return review;
            }
            thread::sleep(Duration::from_millis(20));
        }
        panic!("it does not come: {:#}", self.review(gate));
    }
}

/// What clients and attackers send, in any order and to any gate.
struct Traffic<'t> {
    dice: Dice,
    origins: &'t [String],
    sent: &'t AtomicUsize,
}

impl Traffic<'_> {
    fn origin(&mut self) -> &str {
        let gate = self.dice.below(self.origins.len());
        &self.origins[gate]
    }

    fn get(&mut self, target: &str) -> Response {
        self.sent.fetch_add(1, Ordering::Relaxed);
        Request::get(&format!("{}{target}", self.origin())).send()
    }

    fn token(&mut self, form: &str) -> Response {
        self.sent.fetch_add(1, Ordering::Relaxed);
        Request::post(&format!("{}/token", self.origin()), form.to_owned()).send()
    }

    fn client(&mut self) -> String {
        name(self.dice.below(CLIENTS))
    }

    fn authorization(&mut self) -> Authorization {
        let client = self.client();
        let good = Authorization::new(REDIRECT_URI, None).with("client_id", &client);
        match self.dice.below(10) {
            0 => good.without_challenge(),
            1 => good.with("code_challenge_method", "plain"),
            2 => good.with("code_challenge", &"0123456789abcdef".repeat(4)),
            3 => good.with("code_challenge", &s256(&unguessable())),
            4 => good.with("response_type", "token"),
            5 => good.without("code_challenge_method"),
            _ => good,
        }
    }

    fn redemption(&mut self, authorization: &Authorization, code: &str) -> Params {
        let client = authorization.params.get("client_id").expect("a client");
        let form = authorization.redemption(code).with("client_id", client);
        match self.dice.below(10) {
            0 => form.without("code_verifier"),
            1 => form.with("code_verifier", &unguessable()),
            2 => form.with("client_id", &self.client()),
            3 => form.with("redirect_uri", "https://evil.test/cb"),
            4 => form.with("code", "unknown"),
            _ => form,
        }
    }

    /// A sign-in, or a request that belongs to none.
    fn one(&mut self) {
        match self.dice.below(12) {
            0 => {
                let client = self.client();
                drop(self.token(&format!("grant_type=password&client_id={client}")));
            }
            1 => drop(self.token("grant_type=refresh_token&refresh_token=r")),
            2 => drop(self.get("/elsewhere?code=x")),
            3 => {
                let client = self.client();
                drop(self.get(&format!(
                    "/authorize?client_id={client}&client_id=b&response_type=code"
                )));
            }
            _ => self.sign_in(),
        }
    }

    fn sign_in(&mut self) {
        let authorization = self.authorization();
        let target = format!("/authorize?{}", authorization.params.encoded());
        let mut response = self.get(&target);
        let entry = response.header("location").unwrap_or_default().to_owned();
        if entry.starts_with("/authorize?") {
            response = self.get(&entry);
        }
        let location = response.header("location").unwrap_or_default();
        let code = location
            .split_once('?')
            .map(|(_, query)| Params::from_query(query));
        let code = code.and_then(|params| params.get("code").map(str::to_owned));
        for _ in 0..=self.dice.below(2) {
            if let Some(code) = &code {
                let form = self.redemption(&authorization, code);
                self.token(&form.encoded());
            }
        }
    }
}

/// What the log says about each client, and about each kind of decision, as the manual defines the members of the review.
#[derive(Debug, Default, PartialEq, Eq)]
struct Ledger {
    clients: BTreeMap<String, BTreeMap<String, u64>>,
    decisions: BTreeMap<String, u64>,
}

impl Ledger {
    fn read(gates: &[Gate]) -> Self {
        let mut ledger = Self::default();
        for gate in gates {
            let log = gate.log();
            assert!(!log.contains("log_lines_lost"), "a line is missing");
            for line in log.lines().filter(|line| line.starts_with('{')) {
                let line: Value = serde_json::from_str(line).expect("JSON");
                assert_eq!(line["unlogged"], Value::Null);
                match line["event"].as_str() {
                    Some("decision") => ledger.count(&line),
                    Some("unknown_code_accepted") => ledger.add(&line, "uncertain"),
                    _ => {}
                }
            }
        }
        ledger
    }

    fn add(&mut self, line: &Value, member: &str) {
        // Codes that no sign-in of the gate asked for are counted by where they are sent.
        let key = match line["step"].as_str() {
            Some("unrequested") => "redirect_origin",
            _ => "client",
        };
        let client = line[key].as_str().unwrap_or_default();
        let row = self.clients.entry(client.to_owned()).or_default();
        *row.entry(member.to_owned()).or_default() += 1;
    }

    fn count(&mut self, line: &Value) {
        let text = |key: &str| line[key].as_str().unwrap_or_default();
        let (step, decision) = (text("step"), text("decision"));
        let (violation, method) = (text("violation"), text("method"));
        let kind = format!("{} {decision} {violation}", text("endpoint"));
        *self.decisions.entry(kind).or_default() += 1;
        let mut add = |member: &str| self.add(line, member);
        if !violation.is_empty() && (!step.is_empty() || decision != "allowed") {
            add(&format!("violation {violation}"));
        }
        let about_challenge = [
            "missing_challenge",
            "malformed_challenge",
            "method_not_allowed",
        ];
        let is_about_challenge = about_challenge.contains(&violation);
        let ends = match step {
            _ if line["uncertain"] == true => {
                add("uncertain");
                !violation.is_empty() && step == "begins"
            }
            "begins" => {
                add(match (violation, method) {
                    ("malformed_challenge", _) | ("method_not_allowed", "") => "malformed",
                    (_, "S256") => "s256",
                    (_, "plain") => "plain",
                    _ => "none",
                });
                !violation.is_empty()
            }
            "redeems" => {
                match (violation, method) {
                    ("", "") => add("unverified"),
                    ("", _) => add("verified"),
                    ("missing_challenge", "") if decision == "reported" => add("unverified"),
                    _ => {}
                }
                !violation.is_empty() && !method.is_empty() && !is_about_challenge
            }
            _ => false,
        };
        if ends {
            add("failing");
        }
        if ends && decision == "refused" {
            add("failed");
        }
    }
}

/// The same numbers in a review. A row that no request has is left out.
fn counted(review: &Value) -> BTreeMap<String, BTreeMap<String, u64>> {
    let mut all = BTreeMap::new();
    for row in review["clients"].as_array().expect("clients") {
        let mut numbers = BTreeMap::new();
        let mut add = |name: String, value: &Value| {
            let number = value.as_u64().expect("a number");
            if number > 0 {
                numbers.insert(name, number);
            }
        };
        for (part, names) in [
            (
                &row["authorization"],
                &["s256", "plain", "malformed", "none"][..],
            ),
            (&row["redemption"], &["verified", "unverified", "uncertain"]),
            (row, &["failed", "failing"]),
        ] {
            for name in names {
                add((*name).to_owned(), &part[name]);
            }
        }
        let violations = row["redemption"]["violations"].as_object();
        for (code, number) in violations.expect("violations") {
            add(format!("violation {code}"), number);
        }
        if !numbers.is_empty() {
            let id = row["client_id"].as_str().expect("a name");
            all.insert(id.to_owned(), numbers);
        }
    }
    all
}

/// The metric of all decisions, by the same kinds as the ledger.
fn decisions(gates: &mut [Gate]) -> BTreeMap<String, u64> {
    let mut all = BTreeMap::new();
    for gate in gates {
        let metrics = gate.admin("/metrics");
        let lines = metrics.text().lines();
        for line in lines.filter_map(|line| line.strip_prefix("pkce_gate_decisions_total{")) {
            let (labels, number) = line.rsplit_once("} ").expect("a sample");
            let label = |name: &str| {
                let (_, rest) = labels.split_once(&format!("{name}=\"")).expect("a label");
                rest.split('"').next().unwrap_or_default()
            };
            let violation = label("violation").replace("none", "");
            let kind = format!("{} {} {violation}", label("endpoint"), label("decision"));
            *all.entry(kind).or_default() += number.parse::<u64>().expect("a number");
        }
    }
    all
}

#[test]
fn review_metrics_and_log_agree_after_ten_thousand_requests_over_two_gates() {
    let mut replicas = Replicas::start(2);
    let origins = replicas.origins();
    let (sent, wanted) = (AtomicUsize::new(0), setting("REPLICAS_REQUESTS", 10_000));
    let wanted = usize::try_from(wanted).expect("a number");
    // A row begins with a sign-in, at each gate.
    for origin in &origins {
        for number in 0..CLIENTS {
            let good = Authorization::new(REDIRECT_URI, None).with("client_id", &name(number));
            Request::get(&format!("{origin}/authorize?{}", good.params.encoded())).send();
            sent.fetch_add(1, Ordering::Relaxed);
        }
    }
    let seed = setting("REPLICAS_SEED", 11);
    thread::scope(|scope| {
        for number in 0..4 {
            let mut traffic = Traffic {
                dice: Dice::new(seed + number),
                origins: &origins,
                sent: &sent,
            };
            scope.spawn(move || {
                while traffic.sent.load(Ordering::Relaxed) < wanted {
                    traffic.one();
                }
            });
        }
    });
    // The log is written by a thread of its own.
    let counted_so_far = decisions(&mut replicas.gates);
    let is_complete = |ledger: &Ledger| ledger.decisions == counted_so_far;
    let ledgers = (0..500).map(|_| {
        let ledger = Ledger::read(&replicas.gates);
        if !is_complete(&ledger) {
            thread::sleep(Duration::from_millis(20));
        }
        ledger
    });
    let ledger = ledgers.into_iter().find(is_complete);
    let ledger = ledger.unwrap_or_else(|| Ledger::read(&replicas.gates));
    assert_eq!(ledger.decisions, counted_so_far, "seed {seed}");
    let kinds = ledger.decisions.keys().filter(|kind| !kind.ends_with(' '));
    assert!(kinds.count() > 15, "{:?}", ledger.decisions);
    replicas.write();
    let mut expected = ledger.clients;
    expected.retain(|_, numbers| !numbers.is_empty());
    for gate in [0, 1] {
        let all = replicas.review_until(gate, |review| counted(review) == expected);
        assert_eq!(
            all["gates"],
            json!({ "counted": 2, "is_complete": true, "unreadable": 0 })
        );
        let numbers = |member: &str| -> u64 {
            let rows = expected.values();
            rows.filter_map(|row| row.get(member)).sum()
        };
        let begun = ["s256", "plain", "malformed", "none"].map(numbers);
        assert_eq!(all["headline"]["sign_ins"], begun.iter().sum::<u64>());
        assert_eq!(all["headline"]["failing"], numbers("failing"));
        assert_eq!(all["headline"]["failed"], numbers("failed"));
    }
    assert!(!replicas.upstream.redemptions().is_empty());
}

/// A sign-in that begins.
fn begins(origin: &str, client: &str) {
    let good = Authorization::new(REDIRECT_URI, None).with("client_id", client);
    let response = Request::get(&format!("{origin}/authorize?{}", good.params.encoded())).send();
    assert!([302, 303].contains(&response.status), "{response}");
}

fn sign_ins(review: &Value, id: &str) -> u64 {
    let clients = review["clients"].as_array().expect("clients");
    let found = clients.iter().find(|client| client["client_id"] == *id);
    found.map_or(0, |client| client["sign_ins"].as_u64().expect("a number"))
}

#[test]
fn counts_outlive_gates_and_a_redis_that_loses_them() {
    let mut replicas = Replicas::start(2);
    let origins = replicas.origins();
    for (gate, times) in [(0, 2), (1, 3)] {
        for _ in 0..times {
            begins(&origins[gate], "spa");
        }
    }
    replicas.write();
    replicas.review_until(0, |review| sign_ins(review, "spa") == 5);
    // The second gate stops. A third one goes on from its counts.
    let mut second = replicas.gates.pop().expect("a gate");
    super::ends(&mut second);
    assert_eq!(sign_ins(&replicas.review(0), "spa"), 5);
    replicas.gates.push(Gate::start(&replicas.config));
    let third = replicas.origins()[1].clone();
    begins(&third, "spa");
    replicas.write();
    for gate in [0, 1] {
        let review = replicas.review_until(gate, |review| sign_ins(review, "spa") == 6);
        assert_eq!(review["gates"]["counted"], 2);
    }
    // Redis is empty: the gates write what they have.
    replicas.redis.command(&["FLUSHALL"]);
    replicas.write();
    for gate in [0, 1] {
        replicas.review_until(gate, |review| sign_ins(review, "spa") == 6);
    }
    // A crash: the counts stay, and the next gate takes another seat.
    let mut first = replicas.gates.remove(0);
    first.signal("KILL");
    first.wait_for_end();
    replicas.gates.push(Gate::start(&replicas.config));
    let fourth = replicas.origins()[1].clone();
    begins(&fourth, "spa");
    replicas.write();
    let review = replicas.review_until(0, |review| sign_ins(review, "spa") == 7);
    assert_eq!(review["gates"]["counted"], 3);
}

#[test]
fn a_review_says_that_redis_does_not_answer() {
    let mut replicas = Replicas::start(1);
    let origin = replicas.origins()[0].clone();
    begins(&origin, "spa");
    replicas.redis.kill();
    let review = replicas.review_until(0, |review| review["gates"]["is_complete"] == false);
    assert_eq!(sign_ins(&review, "spa"), 1);
    assert_eq!(client(&review, "spa")["verdict"], "not_seen");
    let page = replicas.gates[0].admin("/review");
    assert!(page.text().contains("the store in Redis does not answer"));
    replicas.write();
    replicas.gates[0].log_until(|log| log.contains("review_unshared"));
    // It comes back empty.
    replicas.redis.restart();
    replicas.review_until(0, |review| review["gates"]["is_complete"] == true);
    replicas.write();
    let review = replicas.review_until(0, |review| sign_ins(review, "spa") == 1);
    assert_eq!(review["gates"]["counted"], 1);
}

/// Another gate starts before the first one notices that Redis is empty, and takes its seat.
#[test]
fn a_gate_keeps_its_counts_if_redis_loses_them_and_another_gate_takes_its_seat() {
    let mut replicas = Replicas::start(1);
    let origin = replicas.origins()[0].clone();
    begins(&origin, "spa");
    replicas.write();
    replicas.review_until(0, |review| sign_ins(review, "spa") == 1);
    replicas.redis.command(&["FLUSHALL"]);
    replicas.gates.push(Gate::start(&replicas.config));
    let second = replicas.origins()[1].clone();
    begins(&second, "spa");
    replicas.write();
    for gate in [0, 1] {
        let review = replicas.review_until(gate, |review| sign_ins(review, "spa") == 2);
        assert_eq!(review["gates"]["counted"], 2);
    }
}

/// The counts of clients that are silent meanwhile, too.
#[test]
fn counts_outlive_the_key_that_sealed_them() {
    let mut replicas = Replicas::start(2);
    let origins = replicas.origins();
    begins(&origins[0], "spa");
    replicas.write();
    replicas.review_until(1, |review| sign_ins(review, "spa") == 1);
    let folder = gate::scratch();
    let new = gate::file(
        &folder,
        "seal",
        "HxAREhMUFRYXGBkaGxwdHh8AAQIDBAUGBwgJCgsMDQ4=\n",
    );
    let (old, new) = (
        format!("{{ id = \"test\", file = {:?} }}", seal_key()),
        format!("{{ id = \"new\", file = {new:?} }}"),
    );
    for keys in [
        format!("[{old}, {new}]"),
        format!("[{new}, {old}]"),
        format!("[{new}]"),
    ] {
        let line = replicas.config.lines();
        let line = line
            .clone()
            .find(|line| line.starts_with("keys ="))
            .expect("keys");
        let config = replicas.config.replace(line, &format!("keys = {keys}"));
        replicas.config = config;
        replicas.write();
        replicas.review_until(1, |review| sign_ins(review, "spa") == 1);
    }
    std::fs::remove_dir_all(folder).expect("a folder");
}

/// An answer that is lost does not cost a seat, of which there are few.
#[test]
fn a_gate_that_cannot_read_its_seat_takes_no_further_one() {
    let mut replicas = Replicas::start(0);
    replicas
        .redis
        .command(&["ACL", "SETUSER", "default", "-hscan"]);
    replicas.gates.push(Gate::start(&replicas.config));
    for _ in 0..3 {
        replicas.write();
    }
    replicas
        .redis
        .command(&["ACL", "SETUSER", "default", "+hscan"]);
    replicas.write();
    let review = replicas.review_until(0, |review| review["gates"]["is_complete"] == true);
    assert_eq!(review["gates"]["counted"], 1);
    let taken = "return #redis.call('KEYS', '*:seat:*')";
    assert_eq!(
        replicas.redis.command(&["EVAL", taken, "0"]),
        Reply::Integer(1)
    );
}

/// Whether a gate refuses an authorization request of this client without PKCE.
fn refuses(origin: &str, client: &str) -> bool {
    let without = Authorization::new(REDIRECT_URI, None).with("client_id", client);
    let without = without.without_challenge();
    let target = format!("{origin}/authorize?{}", without.params.encoded());
    is_refused(&Request::get(&target).send())
}

#[test]
fn a_client_that_one_gate_has_promoted_is_enforced_by_all() {
    let mut replicas = Replicas::start(1);
    let folder = gate::scratch();
    let promotion = json!({ "since": now(), "is_enforced": true });
    let kept = json!({ "version": 2, "upstreams": {}, "promotions": { "scripted": { "spa": promotion } } });
    let file = gate::file(&folder, "review.json", &kept.to_string());
    let config = format!("{}\n[review]\nsnapshot = {file:?}\n", replicas.config);
    let mut promoting = Gate::start(&config);
    let first = format!("http://{}", promoting.address("server"));
    let second = replicas.origins()[0].clone();
    assert_eq!(replicas.review(0)["promotion"]["enforced"], 0);
    // A bad request at one of them is told by it, and known to all.
    assert!(refuses(&first, "spa"));
    promoting.reload(&config);
    promoting.log_until(|log| log.contains("client_downgraded"));
    replicas.write();
    replicas.review_until(0, |review| review["promotion"]["enforced"] == 1);
    assert!((0..1_000).any(|_| refuses(&second, "spa")));
    replicas.write();
    let is_downgraded = |review: &Value| {
        let clients = review["clients"].as_array().expect("clients");
        let mut clients = clients.iter();
        clients.any(|client| client["promotion"]["is_downgraded"] == true)
    };
    replicas.review_until(0, is_downgraded);
    super::ends(&mut replicas.gates[0]);
    let told = replicas.gates[0].log().contains("client_downgraded");
    assert!(!told, "the other gate has told it already");
    super::ends(&mut promoting);
    std::fs::remove_dir_all(folder).expect("a folder");
}
