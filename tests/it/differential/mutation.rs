//! Mutations of requests: those that some servers are known to read differently, and harmless ones that all must read in the
//! same way.

use std::borrow::Cow;

use super::draft::{Draft, FORM};
use crate::support::dice::Dice;

/// What an attacker knows: the names that matter at the request's path, and a code.
#[derive(Debug)]
pub(super) struct Means<'a> {
    pub(super) names: &'a [&'a str],
    /// The upstream's own code, if it is known.
    pub(super) code: &'a str,
}

type Mutation = fn(&mut Draft, &mut Dice, &Means<'_>);

/// The first ones are chosen more often, because parsers differ most in names and values.
const MUTATIONS: [Mutation; 18] = [
    add_twisted,
    add_twisted,
    rename,
    rename,
    twist_value,
    twist_value,
    duplicate,
    shuffle,
    escape,
    separate,
    empty_pairs,
    drop_one,
    to_other_part,
    retype,
    document,
    head,
    path,
    framing,
];

pub(super) fn mutate(draft: &mut Draft, dice: &mut Dice, means: &Means<'_>) {
    loop {
        dice.pick(&MUTATIONS)(draft, dice, means);
        if dice.chance(60) {
            return;
        }
    }
}

fn name_and_value(pair: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let equals = pair.iter().position(|&byte| byte == b'=');
    let (name, value) = pair.split_at(equals.unwrap_or(pair.len()));
    (name.to_vec(), value.get(1..).unwrap_or_default().to_vec())
}

fn joined(name: &[u8], value: &[u8]) -> Vec<u8> {
    [name, b"=", value].concat()
}

/// Bytes that are not UTF-8 are shown as escapes.
fn text(bytes: &[u8]) -> String {
    let text = str::from_utf8(bytes);
    text.map_or_else(|_| bytes.escape_ascii().to_string(), str::to_owned)
}

/// A harmful value for this name.
fn harm(name: &str, means: &Means<'_>) -> String {
    match name {
        "code" => means.code.to_owned(),
        "grant_type" => "authorization_code".to_owned(),
        "response_type" => "token".to_owned(),
        "redirect_uri" => "https%3A%2F%2Fevil.test%2Fcb".to_owned(),
        _ => "evil".to_owned(),
    }
}

fn insert(draft: &mut Draft, dice: &mut Dice, pair: Vec<u8>) {
    let list = &mut draft.pairs().list;
    let at = dice.below(list.len() + 1);
    list.insert(at, pair);
}

fn any<'d>(draft: &'d mut Draft, dice: &mut Dice) -> Option<&'d mut Vec<u8>> {
    let list = &mut draft.pairs().list;
    let at = dice.below(list.len());
    list.get_mut(at)
}

/// Adds a parameter with a name that some server reads as one that matters.
fn add_twisted(draft: &mut Draft, dice: &mut Dice, means: &Means<'_>) {
    let name = dice.pick(means.names);
    let pair = joined(&twisted(name, dice), harm(name, means).as_bytes());
    insert(draft, dice, pair);
}

fn rename(draft: &mut Draft, dice: &mut Dice, _: &Means<'_>) {
    let Some(at) = pick_named(draft, dice) else {
        return;
    };
    let pair = &mut draft.pairs().list[at];
    let (name, value) = name_and_value(pair);
    let name = text(&name);
    *pair = joined(&twisted(&name, dice), &value);
}

fn pick_named(draft: &mut Draft, dice: &mut Dice) -> Option<usize> {
    let list = &draft.pairs().list;
    let at = dice.below(list.len());
    list.get(at)
        .is_some_and(|pair| !name_and_value(pair).0.is_empty())
        .then_some(at)
}

fn twist_value(draft: &mut Draft, dice: &mut Dice, means: &Means<'_>) {
    let other = dice.pick(means.names);
    let harm = harm(other, means);
    let Some(pair) = any(draft, dice) else { return };
    let (name, value) = name_and_value(pair);
    let value = text(&value);
    let twisted = match dice.below(31) {
        0 => format!("+{value}"),
        1 => format!("{value}+"),
        2 => format!("%20{value}"),
        3 => format!("{value}%0A"),
        4 => format!("{value}%00"),
        5 => format!("{value}%00{harm}"),
        6 => format!("{value}\0"),
        7 => format!("{value};{other}={harm}"),
        8 => format!("{value}%3B{other}={harm}"),
        9 => format!("{value},{harm}"),
        10 => format!("{value}%26{other}={harm}"),
        11 => format!("\"{value}\""),
        12 => format!("{value}#"),
        13 => format!("{value}?{other}={harm}"),
        14 => format!("%EF%BB%BF{value}"),
        15 => format!("{value}%FF"),
        16 => format!("{value}%zz"),
        17 => format!("{value}%"),
        18 => format!("{value}&amp;{other}={harm}"),
        19 => format!("{value}={harm}"),
        20 => format!("={value}"),
        21 => String::new(),
        22 => format!("{value}%0D%0AX-Y:+z"),
        23 => format!("%C2%A0{value}"),
        24 => format!("%C0%80{value}"),
        25 => format!("{value}%u0020"),
        26 => format!("{value}\t"),
        27 => format!("{value}%C3%A4"),
        28 => format!("{value}\u{e4}"),
        29 => format!("{value}%ED%A0%80"),
        _ => format!("{value}; {other}={harm}"),
    };
    *pair = joined(&name, twisted.as_bytes());
}

fn duplicate(draft: &mut Draft, dice: &mut Dice, means: &Means<'_>) {
    let Some(pair) = any(draft, dice) else { return };
    let (name, value) = name_and_value(pair);
    let harm = harm(&text(&name), means);
    let again = match dice.below(4) {
        0 => joined(&name, &value),
        1 => joined(&name, b""),
        2 => name,
        _ => joined(&name, harm.as_bytes()),
    };
    insert(draft, dice, again);
}

fn shuffle(draft: &mut Draft, dice: &mut Dice, _: &Means<'_>) {
    let list = &mut draft.pairs().list;
    for last in (1..list.len()).rev() {
        list.swap(last, dice.below(last + 1));
    }
}

/// Escapes that do not change the meaning.
fn escape(draft: &mut Draft, dice: &mut Dice, _: &Means<'_>) {
    let lower = dice.chance(50);
    let Some(pair) = any(draft, dice) else { return };
    let mut out = Vec::new();
    let mut verbatim = 0;
    for &byte in pair.iter() {
        verbatim = if byte == b'%' {
            3
        } else {
            usize::saturating_sub(verbatim, 1)
        };
        let escaped = dice.chance(40) && byte.is_ascii_alphanumeric() && verbatim == 0;
        match (escaped, lower) {
            (false, _) => out.push(byte),
            (true, true) => out.extend(format!("%{byte:02x}").bytes()),
            (true, false) => out.extend(format!("%{byte:02X}").bytes()),
        }
    }
    *pair = out;
}

fn separate(draft: &mut Draft, dice: &mut Dice, _: &Means<'_>) {
    let separators = [";", "&&", "& ", "&;", "&amp;", "\n", ",", "&+", "&%20"];
    draft.pairs().separator = dice.pick(&separators);
}

fn empty_pairs(draft: &mut Draft, dice: &mut Dice, _: &Means<'_>) {
    let pair = dice.pick(&["", "=", "=x", "&", "x", "x=", "%", "+", "[]=x", "?"]);
    insert(draft, dice, pair.as_bytes().to_vec());
}

fn drop_one(draft: &mut Draft, dice: &mut Dice, _: &Means<'_>) {
    let list = &mut draft.pairs().list;
    if !list.is_empty() {
        list.remove(dice.below(list.len()));
    }
}

/// Moves or copies a parameter from the body to the query, or the reverse.
fn to_other_part(draft: &mut Draft, dice: &mut Dice, means: &Means<'_>) {
    let name = dice.pick(means.names);
    let pair = joined(name.as_bytes(), harm(name, means).as_bytes());
    let in_body = !draft.form.list.is_empty();
    match dice.below(3) {
        0 if in_body => draft.query.list.push(pair),
        1 if in_body => {
            let moved = draft.form.list.remove(0);
            draft.query.list.push(moved);
        }
        2 if in_body => draft.query.list.clone_from(&draft.form.list),
        0 => draft.form.list.push(pair),
        _ => std::mem::swap(&mut draft.form, &mut draft.query),
    }
    if !draft.form.list.is_empty() {
        draft.media_type.get_or_insert_with(|| FORM.to_owned());
        if dice.chance(80) {
            "POST".clone_into(&mut draft.method);
        }
    }
}

/// Gives the body another media type, or a coding that does not match.
fn retype(draft: &mut Draft, dice: &mut Dice, _: &Means<'_>) {
    let parameter = match dice.below(22) {
        0 => "; charset=utf-8",
        1 => "; charset=UTF-8; ",
        2 => "; charset=utf-7",
        3 => "; charset=utf-16",
        4 => "; charset=ibm037",
        5 => "; charset=iso-8859-1",
        6 => ";;",
        7 => ", text/plain",
        8 => " ;x=y",
        9 => "x",
        10 => "; boundary=b",
        other => {
            let types = [
                None,
                Some(""),
                Some("application/json"),
                Some("text/plain"),
                Some("application/octet-stream"),
                Some("APPLICATION/X-WWW-FORM-URLENCODED"),
                Some("text/x-www-form-urlencoded"),
                Some("multipart/form-data"),
                Some("application/x-url-encoded"),
                Some("*/*"),
                Some("text/plain, application/x-www-form-urlencoded"),
            ];
            draft.media_type = types[other - 11].map(str::to_owned);
            return;
        }
    };
    draft.media_type = Some(format!("{FORM}{parameter}"));
}

/// Puts the parameters into a body that is not a form.
fn document(draft: &mut Draft, dice: &mut Dice, _: &Means<'_>) {
    if draft.form.list.is_empty() {
        return;
    }
    let list = draft.form.list.clone();
    let pairs: Vec<_> = list.iter().map(|pair| text_of(pair)).collect();
    let json = |pairs: &[(String, String)]| {
        let member = |(name, value): &(String, String)| {
            format!("{}:{}", serde_json::json!(name), serde_json::json!(value))
        };
        format!(
            "{{{}}}",
            pairs.iter().map(member).collect::<Vec<_>>().join(",")
        )
    };
    let (media_type, body) = match dice.below(6) {
        0 => ("application/json", json(&pairs).into_bytes()),
        1 => (
            dice.pick(&[FORM, "text/plain", "text/json", "application/vnd.x+json"]),
            json(&pairs).into_bytes(),
        ),
        2 => {
            draft
                .fields
                .push(("Content-Encoding".to_owned(), "deflate".to_owned()));
            (FORM, deflated(&draft.form.bytes()))
        }
        3 => {
            let text = text(&draft.form.bytes());
            let units = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
            ("application/x-www-form-urlencoded; charset=utf-16be", units)
        }
        _ => (
            dice.pick(&[
                "multipart/form-data; boundary=b",
                "Multipart/Form-Data; Boundary=\"b\"",
                "multipart/form-data; charset=utf-8; boundary=b",
                "multipart/mixed; boundary=b",
                "multipart/related; boundary=b",
                "multipart/form-data, x; boundary=b",
                "text/plain; boundary=b",
                FORM,
            ]),
            multipart(&pairs, dice),
        ),
    };
    draft.media_type = Some(media_type.to_owned());
    draft.body = Some(body);
}

fn text_of(pair: &[u8]) -> (String, String) {
    let (name, value) = name_and_value(pair);
    let read = |raw: &[u8]| {
        let decoded = pkce_gate::parts::decode(raw);
        decoded.map_or_else(|_| "x".to_owned(), Cow::into_owned)
    };
    (read(&name), read(&value))
}

fn multipart(pairs: &[(String, String)], dice: &mut Dice) -> Vec<u8> {
    let style = dice.below(12);
    let part = |(name, value): &(String, String)| {
        let (head, tail) = name.split_at(name.len() / 2);
        let disposition = match style {
            0 => format!("form-data; name={name}"),
            1 => format!("form-data; NAME=\"{name}\""),
            2 => format!("form-data; name*=utf-8''{name}"),
            3 => format!("form-data; name*0=\"{head}\"; name*1=\"{tail}\""),
            4 => format!("form-data; name*0*=utf-8''{head}; name*1={tail}"),
            5 => format!("form-data; name=\"{head}\\{tail}\""),
            6 => format!("form-data;\r\n name=\"{name}\""),
            7 => format!("form-data; x=\"; name=x\"; name=\"{name}\""),
            8 => format!("form-data; name = \"{name}\""),
            9 => format!("form-data; name='{name}'"),
            _ => format!("form-data; name=\"{name}\""),
        };
        format!("--b\r\nContent-Disposition: {disposition}\r\n\r\n{value}\r\n")
    };
    let parts: Vec<_> = pairs.iter().map(part).collect();
    format!("{}--b--\r\n", parts.concat()).into_bytes()
}

/// RFC 1950, with one stored block.
fn deflated(body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).expect("a form is short");
    let (mut low, mut high) = (1_u32, 0_u32);
    for &byte in body {
        low = (low + u32::from(byte)) % 65521;
        high = (high + low) % 65521;
    }
    let mut out = vec![0x78, 0x01, 0x01];
    out.extend(length.to_le_bytes());
    out.extend((!length).to_le_bytes());
    out.extend_from_slice(body);
    out.extend((high << 16 | low).to_be_bytes());
    out
}

/// Changes the method, or adds fields from which servers take method, path or parameters.
fn head(draft: &mut Draft, dice: &mut Dice, means: &Means<'_>) {
    if dice.chance(40) {
        let methods = [
            "GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "post", "POST",
        ];
        draft.method = dice.pick(&methods).to_owned();
        return;
    }
    let code = means.code;
    let (name, value) = match dice.below(16) {
        0 => ("X-HTTP-Method-Override", "GET".to_owned()),
        1 => ("X-Method-Override", "POST".to_owned()),
        2 => ("X-Original-URL", "/token".to_owned()),
        3 => ("X-Rewrite-URL", "/token".to_owned()),
        4 => ("Script-Name", "/token".to_owned()),
        5 => ("Path_Info", "/token".to_owned()),
        6 => ("Cookie", format!("code={code}; grant_type=x")),
        7 => ("Cookie", format!("a=b, code_verifier={code}")),
        8 => ("Content_Type", "application/json".to_owned()),
        9 => ("Connection", "X-Other, close".to_owned()),
        10 => ("Connection", "Content-Type".to_owned()),
        11 => ("X-Forwarded-Prefix", "/token".to_owned()),
        12 => ("Query_String", format!("code={code}")),
        13 => ("Content-Type", "text/plain".to_owned()),
        14 => ("Content-Encoding", "identity".to_owned()),
        _ => ("Authorization", "Basic cHViOg==".to_owned()),
    };
    draft.fields.push((name.to_owned(), value));
}

/// Another spelling of the path that some server treats as the same.
fn path(draft: &mut Draft, dice: &mut Dice, _: &Means<'_>) {
    let target = dice.pick(&["token", "token", "authorize", "login"]);
    let mut letters = target.chars();
    let first = u32::from(letters.next().unwrap_or_default());
    let rest = letters.as_str();
    let upper = target.to_uppercase();
    draft.path = match dice.below(42) {
        0 => format!("//{target}"),
        1 => format!("/./{target}"),
        2 => format!("/x/../{target}"),
        3 => format!("/%{first:02x}{rest}"),
        4 => format!("/%25{first:02x}{rest}"),
        5 => format!("/{target}/"),
        6 => format!("/{upper}"),
        7 => format!("/{target};x=1"),
        8 => format!("/{target}%20"),
        9 => format!("/{target}."),
        10 => format!("/{target}.json"),
        11 => format!("/{target}%2f"),
        12 => format!("/%2f{target}"),
        13 => format!("/{target}%00"),
        14 => format!("/{target}%3fx=y"),
        15 => format!("/{target}%23"),
        16 => format!("/{target}%0a"),
        17 => format!("/\\{target}"),
        18 => format!("/{target}\\"),
        19 => format!("/%5c{target}"),
        20 => format!("/;/{target}"),
        21 => format!("/%2e/{target}"),
        22 => format!("/x/%2e%2e/{target}"),
        23 => format!("http://gate.test/{target}"),
        24 => format!("http://127.0.0.1/{target}"),
        25 => format!("//gate.test/{target}"),
        26 => format!("/{target}%c0%af"),
        27 => format!("/{target}%ef%bb%bf"),
        28 => format!("/{target}%"),
        29 => format!("/{target},"),
        30 => format!("/{target}:x"),
        31 => format!("/{target}%a0"),
        32 => format!("/x//{target}"),
        33 => format!("/{target}/x/.."),
        34 => format!("/{target}%252f"),
        35 => format!("/{target}/authorize"),
        36 => format!("///{target}//"),
        37 => format!("/{target}%c2%a0"),
        38 => format!("/index.php/{target}"),
        39 => target.to_owned(),
        40 => format!("/%e2%80%8b{target}"),
        _ => format!("/{target}"),
    };
}

fn framing(draft: &mut Draft, dice: &mut Dice, _: &Means<'_>) {
    if dice.chance(25) {
        draft.version = "1.0";
    } else {
        draft.chunks = Some((0..3).map(|_| dice.below(40) + 1).collect());
    }
}

/// A name that some or all servers read as `name`.
fn twisted(name: &str, dice: &mut Dice) -> Vec<u8> {
    let mut letters = name.chars();
    let Some(first) = letters.next() else {
        return Vec::new();
    };
    let rest = letters.as_str();
    let code = u32::from(first);
    let upper = name.to_uppercase();
    let text = match dice.below(62) {
        0 => format!("{name}[]"),
        1 => format!("{name}[0]"),
        2 => format!("{name}[x]"),
        3 => format!("{name}["),
        4 => format!("{name}%5B%5D"),
        5 => format!("{name}."),
        6 => format!(".{name}"),
        7 => format!("+{name}"),
        8 => format!("%20{name}"),
        9 => format!("{name}+"),
        10 => format!(" {name}"),
        11 => format!("\t{name}"),
        12 => format!("{name}%09"),
        13 => format!("_{name}"),
        14 => upper,
        15 => name.replacen('_', "", 1),
        16 => format!("{name}%00"),
        17 => format!("{name}%00x"),
        18 => format!("%00{name}"),
        19 => format!("{name}\0x"),
        20 => format!("%EF%BB%BF{name}"),
        21 => format!("\u{feff}{name}"),
        22 => format!("%C1%{:02X}{rest}", 0x80 | (code & 0x3f)),
        23 => format!("%u{code:04x}{rest}"),
        24 => format!("%25{code:02x}{rest}"),
        25 | 26 => format!("%{code:02x}{rest}"),
        27 => name.replacen('_', ".", 1),
        28 => name.replacen('_', "+", 1),
        29 => name.replacen('_', "%20", 1),
        30 | 31 => name.replacen('_', "[", 1),
        32 => name.replacen('_', "-", 1),
        33 => name.replacen('_', "%5B", 1),
        34 => name.replacen('_', "%2E", 1),
        35 => format!("[{name}]"),
        36 => format!("[]{name}"),
        37 => format!("]{name}"),
        38 => format!("{name}]"),
        39 => format!("{name}]x"),
        40 => format!("{name}%0A"),
        41 => format!("{name};"),
        42 => format!(";{name}"),
        43 => format!("x;{name}"),
        44 => format!("x=y;+{name}"),
        45 => format!("{name}%"),
        46 => format!("{name}%zz"),
        47 => format!("{name}%FF"),
        48 => format!("amp;{name}"),
        49 => format!("?{name}"),
        50 => format!("#{name}"),
        51 => format!("\"{name}\""),
        52 => format!("\u{ff43}{rest}"),
        53 => name.replace('s', "\u{17f}"),
        54 => format!("{name}\u{200b}"),
        55 => format!("x[{name}]"),
        56 => format!("x[y[{name}"),
        57 => format!("{name}%C2%A0"),
        58 => format!("\r\n{name}").replace("\r\n", "%0D%0A"),
        59 => format!("{name}[%00]"),
        60 => format!("%5B{name}"),
        _ => name.to_owned(),
    };
    text.into_bytes()
}
