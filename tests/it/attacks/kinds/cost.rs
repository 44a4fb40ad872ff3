//! The cost of one request. 64 KB of any content use a bounded amount of memory, and nothing in the store; so does a page of a
//! megabyte. Unit tests count how often each byte is examined (`work::during`), because no test asserts a time.
//!
//! Without `NAMES_OF_A_FIELD` the tests fail for the names of multipart fields.

use super::super::post_bytes;
use super::answered;
use crate::support::rig::{Config, Rig, request};
use crate::support::scripted::reply;

const MIB: usize = 1024 * 1024;

/// The body of one request, as long as the gate reads.
const BODY: usize = 65_500;

/// The limit for sequential requests: the manual states `response_scan_bytes` and 512 KiB for each request in flight, and the
/// same for a connection. One request is in flight; the rest is the allocator's.
const MOST: usize = 12 * MIB;

/// Repeated pieces, each of which made some parser read input again, or keep what it found.
const PIECES: [&str; 20] = [
    "name=",
    "name=a;",
    "name*=utf-8''",
    "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n",
    "=?u?Q?a?=",
    "=?",
    "\"code\":",
    "{\"a\":[",
    "\\u005cu005c",
    "%2525",
    "&#38;#38;",
    "client_id=a&",
    "code=123456789012&",
    "b;[\0b=?code%3D",
    "pgs",
    "pgsaaaaaaaaaaaaaaaaaaaaaaaaaaaaa ",
    "a b c d ",
    "\r\n",
    "=",
    ";",
];

const KINDS: [&str; 4] = [
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=b",
    "application/json",
    "",
];

fn filled(before: &str, piece: &str, length: usize) -> Vec<u8> {
    let mut body = format!("{before}{}", piece.repeat(length / piece.len()));
    body.truncate(length);
    body.into_bytes()
}

/// A gate with one worker, and its memory after an ordinary request.
fn started(codes: &str) -> (Rig, usize) {
    let rig = Rig::with(Config {
        server: "workers = 1",
        // Of the stores, it is the one that these tests measure.
        store: "kind = \"memory\"",
        pkce: &format!("codes = \"{codes}\""),
        ..Config::default()
    });
    let rig = rig.unguarded();
    let code = rig.code_for(&rig.authorization());
    rig.keep_out_of_the_log([code]);
    rig.post("/login", &[], "user=u");
    let took = rig.gate.most_memory();
    (rig, took)
}

fn store(rig: &mut Rig) -> [usize; 4] {
    let records =
        |kind: &str| format!("pkce_gate_store_records{{upstream=\"scripted\",kind=\"{kind}\"}}");
    let bytes = "pkce_gate_store_bytes{upstream=\"scripted\"}".to_owned();
    [
        records("pending"),
        records("code"),
        records("tombstone"),
        bytes,
    ]
    .map(|name| rig.gate.metric(&name))
}

/// A body with any media type, at each kind of path; and the same content in a query, in cookies and in credentials, up to the
/// length of a head.
#[test]
fn requests_of_64_kilobytes() {
    for codes in ["handle", "upstream"] {
        let (mut rig, before) = started(codes);
        let kept = store(&mut rig);
        assert!(kept.iter().any(|records| *records > 0), "{kept:?}");
        for piece in PIECES {
            for (kind, before) in
                KINDS
                    .into_iter()
                    .zip(["", "--b\r\nContent-Disposition: x; ", "[\"", "pgs?code="])
            {
                let body = filled(before, piece, BODY);
                for path in ["/authorize", "/token", "/elsewhere"] {
                    let bytes = post_bytes(path, &[("Content-Type", kind)], &body);
                    let mut connection = rig.connect();
                    connection.try_send(&bytes);
                    assert!(connection.try_response().is_ok(), "{piece:?} {kind} {path}");
                }
            }
            let plain: String = piece
                .chars()
                .filter(|c| !c.is_control() && *c != ' ')
                .collect();
            let text = plain.repeat(6_000 / plain.len().max(1));
            let fields = [
                ("Cookie", &*text),
                ("Authorization", &*format!("Basic {text}")),
                ("X-Url", &*text),
            ];
            for path in ["/authorize", "/token", "/elsewhere"] {
                let query: String = text.replace(['"', '#', '\\', '{', '[', '<'], "%22");
                let query = query.get(..6_000).unwrap_or(&query);
                let bytes = request("GET", &format!("{path}?{query}"), &fields, None);
                let mut connection = rig.connect();
                connection.try_send(&bytes);
                assert!(connection.try_response().is_ok(), "{piece:?} {path}");
            }
            let took = rig.gate.most_memory() - before;
            assert!(took < MOST, "{piece:?}: {} KiB", took / 1024);
        }
        assert_eq!(store(&mut rig), kept);
        assert!(rig.gate.has_ended().is_none());
        rig.sign_in(&rig.authorization());
    }
}

/// A page of a megabyte after a login, which the gate searches for a code. Fails without a limit on the forms of a page and on
/// the length of a code (`form_post::MAX_FORMS`, `MAX_VALUE`). For the other pages, the limits on fields, places and handles
/// together are enough.
#[test]
fn pages_of_a_megabyte() {
    let (mut rig, before) = started("handle");
    let kept = store(&mut rig);
    for (before_it, piece) in [
        (
            "<form action=https://c/>",
            "<input name=code value=a><input name=state value=b>",
        ),
        ("<form>", "<a "),
        ("pgs", "?code=1"),
        ("pgs<a ", "a=b "),
        ("<form><a b='", "&#38;"),
        ("\"pgs", "\\u005cu005c"),
        ("", "<form><input name=error value=a></form>"),
        (
            "",
            "<form action=https://c/><input name=code value=a></form>",
        ),
        ("<form>", "<input name=iss>"),
        ("<form action=https://c/><input name=code value=", "+x"),
        (
            "<form action=https://c/><input name=error value=a>",
            "<input formaction=b>",
        ),
        ("", "<form id=a></form><input form=a name=code value=a>"),
    ] {
        let page = filled(before_it, piece, MIB - 64);
        let answer = reply("200 OK", &[("Content-Type", "text/html")], &page);
        let bytes = request("POST", "/login", &[], Some("user=u"));
        let response = answered(&rig, &bytes, answer);
        assert!(
            response.status == 200 || response.status == 502,
            "{}",
            response.status
        );
        let took = rig.gate.most_memory() - before;
        assert!(took < MOST, "{piece:?}: {} KiB", took / 1024);
    }
    assert_eq!(store(&mut rig), kept);
}
