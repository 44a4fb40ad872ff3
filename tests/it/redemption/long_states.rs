//! States that are too long for the handle of a sealed store: a cookie of the browser keeps them.

use super::assert_page;
use crate::support::client::{Authorization, assert_token};
use crate::support::http::Response;
use crate::support::redis::Redis;
use crate::support::rig::{Config, Jar, Rig, authorization_response, handle_of, target};
use crate::support::scripted::{Act, Shape, Then, reply};
use crate::support::store::sealed;

fn rig(store: &str, scheme: &str, entry: &str) -> Rig {
    let public = format!("public_url = \"{scheme}://gate.test\"");
    let pkce = format!("entry = \"{entry}\"");
    let mut rig = Rig::with(Config {
        store,
        upstream: &public,
        pkce: &pkce,
        ..Config::default()
    });
    if store.contains("redis://") {
        rig.gate.wait_for_store();
    }
    rig
}

fn of(scheme: &str) -> Rig {
    rig(&sealed(), scheme, "redirect")
}

fn with_state(rig: &Rig, length: usize) -> Authorization {
    let state = r#"&=+%# é"'<>/?;%26\"#.repeat(length);
    let state = state.split_at(state.floor_char_boundary(length)).0;
    rig.keep_out_of_the_log([state.to_owned()]);
    rig.authorization().with("state", state)
}

/// From the authorization request to the answer of the upstream.
#[track_caller]
fn sign_in(rig: &Rig, browser: &mut Jar, authorization: &Authorization) -> Response {
    let response = browser.get(rig, &target(authorization));
    match response.header("location") {
        Some(entry) if entry.starts_with('/') => {
            assert!(handle_of(entry).len() <= 512, "{entry}");
            browser.get(rig, entry)
        }
        _ => response,
    }
}

#[track_caller]
fn ends_well(rig: &Rig, authorization: &Authorization, answer: &Response) {
    let answer = authorization_response(answer, authorization)
        .unwrap_or_else(|| panic!("no answer: {answer}"));
    assert_eq!(answer.params.get("state"), authorization.state());
    assert_token(&rig.redeem(authorization, answer.code()));
}

fn states(browser: &Jar) -> Vec<&(String, String)> {
    let all = browser.0.iter();
    all.filter(|(name, _)| name.contains("pkce-gate-state-"))
        .collect()
}

/// How long the browser keeps the state of the sign-in of an answer, in seconds.
#[track_caller]
fn lifetime(answer: &Response) -> Option<u64> {
    let fields = answer.headers.iter();
    let of_states = fields.filter(|(name, set)| name == "set-cookie" && set.contains("-state-"));
    let set: Vec<_> = of_states.map(|(_, set)| set.as_str()).collect();
    let [set] = set[..] else { return None };
    let (_, seconds) = set.split_once("; Max-Age=")?;
    seconds.split(';').next()?.parse().ok()
}

/// No cookie with a state, nor the state itself, is at the upstream.
#[track_caller]
fn the_upstream_saw_no_state(rig: &Rig) {
    for seen in rig.upstream.ledger() {
        let cookie = seen.header("cookie").unwrap_or_default();
        assert!(!cookie.contains("pkce-gate"), "{seen:?}");
        let state = seen.query_params().get("state").map_or(0, str::len);
        assert!(state <= 512, "{seen:?}");
    }
}

#[test]
fn a_long_state_comes_back_byte_for_byte() {
    let redis = Redis::single();
    let shared = format!(
        "{}claims = \"redis\"\nurl = \"redis://{}\"\ndeadline = \"2s\"",
        sealed(),
        redis.address()
    );
    for (store, scheme, entry) in [
        (sealed(), "https", "redirect"),
        (sealed(), "http", "redirect"),
        (sealed(), "https", "rewrite"),
        (shared, "https", "redirect"),
    ] {
        let rig = rig(&store, scheme, entry);
        for shape in [Shape::Query(302), Shape::Fragment(303), Shape::FormPost] {
            rig.upstream.answer_with(shape);
            for length in [500, 600, 2000, 2900] {
                println!("{scheme} {entry} {shape:?} {length}"); // shown when the test fails
                let mut browser = Jar::default();
                let authorization = with_state(&rig, length);
                let answer = sign_in(&rig, &mut browser, &authorization);
                ends_well(&rig, &authorization, &answer);
                assert_eq!(lifetime(&answer), Some(60), "{answer}");
            }
        }
        the_upstream_saw_no_state(&rig);
    }
}

#[test]
fn the_cookie_is_of_this_host_and_of_no_script() {
    for (scheme, start, attributes) in [
        (
            "https",
            "__Host-pkce-gate-state-",
            "Path=/; Max-Age=900; HttpOnly; Secure; SameSite=None",
        ),
        (
            "http",
            "pkce-gate-state-",
            "Path=/; Max-Age=900; HttpOnly; SameSite=Lax",
        ),
    ] {
        let rig = of(scheme);
        let authorization = with_state(&rig, 2000);
        let begun = rig.enter(&authorization);
        let set = begun.header("set-cookie").expect("a cookie");
        assert!(set.starts_with(start) && set.ends_with(attributes), "{set}");
        assert!(set.len() <= 4096, "{set}");
        // A short state needs none.
        let begun = rig.enter(&rig.authorization());
        let set = begun
            .headers
            .iter()
            .filter(|(name, _)| name == "set-cookie");
        assert!(
            set.into_iter().all(|(_, set)| !set.contains("state")),
            "{begun}"
        );
    }
}

#[test]
fn two_tabs_at_once_get_their_own_states() {
    let rig = of("https");
    let mut browser = Jar::default();
    let tabs = [(); 2]
        .map(|()| with_state(&rig, 2000).with("nonce", &crate::support::params::unguessable()));
    let entries = tabs.each_ref().map(|tab| {
        let begun = browser.get(&rig, &target(tab));
        begun.header("location").expect("an entry").to_owned()
    });
    assert_eq!(states(&browser).len(), 2);
    for (tab, entry) in tabs.iter().zip(&entries).rev() {
        let answer = browser.get(&rig, entry);
        ends_well(&rig, tab, &answer);
        assert_eq!(lifetime(&answer), Some(60), "{answer}");
    }
    // Back in both.
    for (tab, entry) in tabs.iter().zip(&entries) {
        ends_well(&rig, tab, &browser.get(&rig, entry));
    }
}

#[test]
fn a_user_who_goes_back_gets_another_answer_for_a_minute() {
    let rig = of("https");
    for shape in [Shape::Query(302), Shape::Fragment(303), Shape::FormPost] {
        rig.upstream.answer_with(shape);
        let mut browser = Jar::default();
        let authorization = with_state(&rig, 2000);
        let begun = browser.get(&rig, &target(&authorization));
        let entry = begun.header("location").expect("an entry").to_owned();
        let mut codes = Vec::new();
        for _ in 0..3 {
            let answer = browser.get(&rig, &entry);
            ends_well(&rig, &authorization, &answer);
            assert_eq!(lifetime(&answer), Some(60), "{answer}");
            let answer = authorization_response(&answer, &authorization).expect("an answer");
            codes.push(answer.code().to_owned());
        }
        codes.dedup();
        assert_eq!(codes.len(), 3);
        // After a minute.
        browser.0.retain(|(name, _)| !name.contains("-state-"));
        assert_page(&browser.get(&rig, &entry), 400, "state_lost");
    }
}

#[test]
fn the_cookie_is_not_kept_longer_than_its_sign_in() {
    let store = format!("{}pending = \"30s\"", sealed());
    let rig = rig(&store, "https", "redirect");
    let mut browser = Jar::default();
    let authorization = with_state(&rig, 2000);
    let begun = browser.get(&rig, &target(&authorization));
    assert_eq!(lifetime(&begun), Some(30));
    let entry = begun.header("location").expect("an entry").to_owned();
    let answer = browser.get(&rig, &entry);
    ends_well(&rig, &authorization, &answer);
    let lifetime = lifetime(&answer).expect("a cookie");
    assert!((1..=30).contains(&lifetime), "{answer}");
}

#[test]
fn sign_ins_that_had_their_answer_make_room_for_others_first() {
    let rig = of("https");
    let mut browser = Jar::default();
    let waiting = with_state(&rig, 2000);
    let begun = browser.get(&rig, &target(&waiting));
    let entry = begun.header("location").expect("an entry").to_owned();
    for _ in 0..5 {
        let next = with_state(&rig, 2000);
        let answer = sign_in(&rig, &mut browser, &next);
        ends_well(&rig, &next, &answer);
        assert_eq!(states(&browser).len(), 2);
    }
    let answer = browser.get(&rig, &entry);
    ends_well(&rig, &waiting, &answer);
}

#[test]
fn a_browser_keeps_few_and_small_cookies_and_the_newest_counts() {
    let rig = of("https");
    let mut browser = Jar::default();
    for (length, most) in [(600, 6), (2000, 2), (2900, 1)] {
        for _ in 0..12 {
            browser.get(&rig, &target(&with_state(&rig, length)));
        }
        assert_eq!(states(&browser).len(), most, "{length}");
        assert!(browser.cookies().len() < 8000, "{length}");
        let authorization = with_state(&rig, length);
        let answer = sign_in(&rig, &mut browser, &authorization);
        ends_well(&rig, &authorization, &answer);
    }
}

#[test]
fn without_its_cookie_an_answer_is_refused_and_the_right_browser_still_gets_it() {
    let rig = of("https");
    let mut browser = Jar::default();
    let authorization = with_state(&rig, 2000);
    let begun = browser.get(&rig, &target(&authorization));
    let entry = begun.header("location").expect("an entry").to_owned();
    let mut elsewhere = Jar::default();
    elsewhere.get(&rig, &target(&with_state(&rig, 2000)));
    let right = browser.cookies();
    let (name, sealed) = states(&browser)[0].clone();
    let (_, foreign) = states(&elsewhere)[0].clone();
    let half = sealed.split_at(sealed.len() / 2).0;
    let twice = format!("{right}; {name}={sealed}");
    for cookies in [
        String::new(),
        elsewhere.cookies(),
        right.replace(&sealed, &foreign),
        right.replace(&sealed, half),
        right.replace(&sealed, ""),
        right.replace(&sealed, &format!("{sealed}A")),
        twice,
        right.replace("__Host-", ""),
        right.replace("pkce-gate-state-", "pkce-gate-state-x"),
    ] {
        let answer = rig.get_with(&entry, &[("Cookie", &cookies)]);
        assert_page(&answer, 400, "state_lost");
        assert!(answer.text().contains("Allow cookies"), "{answer}");
    }
    let answer = browser.get(&rig, &entry);
    ends_well(&rig, &authorization, &answer);
    assert!(rig.gate.log().contains("state_lost"));
}

#[test]
fn an_error_response_has_the_long_state_too() {
    let rig = of("https");
    for (keeps, status) in [(true, 302), (false, 400)] {
        let mut browser = Jar::default();
        let authorization = with_state(&rig, 2000);
        let begun = browser.get(&rig, &target(&authorization));
        let entry = begun.header("location").expect("an entry").to_owned();
        let location = format!(
            "https://client.test/cb?error=access_denied&state={}",
            handle_of(&entry)
        );
        let answer = reply("302 Found", &[("Location", &location)], b"");
        rig.upstream
            .once("/authorize", Act::Say(answer, Then::GoOn));
        if !keeps {
            browser = Jar::default();
        }
        let answer = browser.get(&rig, &entry);
        assert_eq!(answer.status, status, "{answer}");
        let told = authorization_response(&answer, &authorization);
        let state = told.as_ref().and_then(|told| told.params.get("state"));
        assert_eq!(state, authorization.state().filter(|_| keeps));
    }
}

#[test]
fn a_state_that_no_cookie_can_keep_is_refused() {
    let rig = of("https");
    let answer = rig.enter(&with_state(&rig, 3100));
    assert_page(&answer, 400, "state is too long");
    assert!(answer.text().contains("2900 bytes"), "{answer}");
    assert!(rig.upstream.ledger().is_empty());
    let authorization = with_state(&rig, 2900);
    let answer = sign_in(&rig, &mut Jar::default(), &authorization);
    ends_well(&rig, &authorization, &answer);
}

/// Two upstreams with the same keys.
#[test]
fn the_cookie_of_another_upstream_is_not_opened() {
    let other = crate::support::scripted::Scripted::start();
    let store = sealed();
    let tables = format!(
        "[[upstream]]\nname = \"second\"\nurl = \"{}\"\nhosts = [\"second.test\"]\npublic_url = \"https://second.test\"\n\
         [upstream.endpoints]\nauthorization = [\"/authorize\"]\ntoken = [\"/token\"]\n",
        other.url()
    );
    let rig = Rig::with(Config {
        store: &store,
        upstream: "hosts = [\"gate.test\"]\npublic_url = \"https://gate.test\"",
        tables: &tables,
        ..Config::default()
    });
    let authorization = with_state(&rig, 2000);
    let at_second = |target: &str| {
        let request = format!("GET {target} HTTP/1.1\r\nHost: second.test\r\n\r\n");
        rig.send(request.as_bytes())
    };
    let mut there = Jar::default();
    there.keep(&at_second(&target(&authorization)));
    let mut here = Jar::default();
    let begun = here.get(&rig, &target(&authorization));
    let entry = begun.header("location").expect("an entry").to_owned();
    let ((_, own), (_, foreign)) = (states(&here)[0].clone(), states(&there)[0].clone());
    let cookies = here.cookies().replace(&own, &foreign);
    let answer = rig.get_with(&entry, &[("Cookie", &cookies)]);
    assert_page(&answer, 400, "state_lost");
    let answer = here.get(&rig, &entry);
    ends_well(&rig, &authorization, &answer);
}

#[test]
fn other_stores_keep_long_states_themselves() {
    let redis = Redis::single();
    let in_redis = sealed().replace("\"sealed\"", "\"redis\"");
    let in_redis = format!(
        "{in_redis}url = \"redis://{}\"\ndeadline = \"2s\"",
        redis.address()
    );
    for store in ["kind = \"memory\"", &in_redis] {
        let rig = rig(store, "https", "redirect");
        let mut browser = Jar::default();
        let authorization = with_state(&rig, 2000);
        let begun = browser.get(&rig, &target(&authorization));
        assert_eq!(states(&browser).len(), 0, "{begun}");
        let entry = begun.header("location").expect("an entry").to_owned();
        assert_eq!(handle_of(&entry).len(), 32);
        let answer = browser.get(&rig, &entry);
        ends_well(&rig, &authorization, &answer);
    }
}

/// After a reload to another store, browsers still send these cookies for a while.
#[test]
fn the_upstream_never_gets_the_cookie() {
    let rig = of("https");
    let mut browser = Jar::default();
    browser.get(&rig, &target(&with_state(&rig, 2000)));
    browser.0.insert(0, ("sid".to_owned(), "1".to_owned()));
    for is_reloaded in [false, true] {
        if is_reloaded {
            let memory = Config {
                store: "kind = \"memory\"",
                upstream: "public_url = \"https://gate.test\"",
                ..Config::default()
            };
            rig.gate.reload(&memory.render(&rig.upstream));
        }
        for path in ["/page", "/authorize?x=1", "/token"] {
            rig.get_with(path, &[("Cookie", &browser.cookies())]);
        }
        for seen in rig.upstream.ledger() {
            assert_eq!(seen.header("cookie"), Some("sid=1"), "{seen:?}");
        }
    }
    assert!(rig.upstream.ledger().len() >= 4);
}
