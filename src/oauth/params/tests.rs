use super::*;
use proptest::prelude::*;

fn pairs(input: &str) -> Result<Vec<(String, String)>, Malformed> {
    Ok(Params::parse(input.as_bytes(), 64)?
        .iter()
        .map(|pair| (pair.name().to_owned(), pair.value().to_owned()))
        .collect())
}

fn check(input: &str, expected: &[(&str, &str)]) {
    let expected: Vec<_> = expected
        .iter()
        .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
        .collect();
    assert_eq!(pairs(input).as_ref(), Ok(&expected), "{input}");
}

#[test]
fn order_duplicates_and_empty_values_are_kept() {
    check("b=2&a=1&b=3", &[("b", "2"), ("a", "1"), ("b", "3")]);
    check("a=&b&&c=x=y&", &[("a", ""), ("b", ""), ("c", "x=y")]);
    check("%63ode=a+b%2B", &[("code", "a b+")]);
    check("a=1;code=2", &[("a", "1;code=2")]);
}

#[test]
fn malformed_input_is_an_error() {
    for (input, malformed) in [
        ("a=%4", Malformed::Escape),
        ("a=%zz", Malformed::Escape),
        ("%u0063ode=x", Malformed::Escape),
        ("a=%ff", Malformed::Encoding),
        ("a=%C0%AE", Malformed::Encoding),
        ("a=%ED%A0%80", Malformed::Encoding),
        ("code%00x=1", Malformed::Nul),
        ("a=1%00", Malformed::Nul),
        ("a=\0", Malformed::Nul),
        ("=x", Malformed::EmptyName),
        ("\u{feff}code=x", Malformed::ByteOrderMark),
    ] {
        assert_eq!(pairs(input), Err(malformed), "{input:?}");
    }
    assert!(matches!(
        Params::parse(b"a&b&c", 2),
        Err(Malformed::TooMany)
    ));
}

#[test]
fn a_survey_accepts_undecodable_values_but_not_names() {
    let survey = Params::survey(b"password=%E9&user=a", 9).unwrap();
    assert!(!survey.iter().next().unwrap().is_decoded());
    assert_eq!(survey.one("user"), Ok(Some("a")));
    assert!(Params::survey(b"co%E9de=1", 9).is_err());
}

#[test]
fn one_counts_empty_occurrences_and_reads_an_empty_value_as_omitted() {
    let params = Params::parse(b"a=&b=1&c=&c=2", 9).unwrap();
    assert_eq!(params.one("a"), Ok(None));
    assert_eq!(params.one("b"), Ok(Some("1")));
    assert_eq!(params.one("c"), Err(Duplicate("c".to_owned())));
    assert_eq!(params.duplicate(&[]), Some(Duplicate("c".to_owned())));
    assert_eq!(params.duplicate(&["c"]), None);
}

#[test]
fn names_that_some_framework_takes_for_a_protected_one_are_found() {
    for name in [
        "CODE",
        "Code_Verifier",
        "code.verifier",
        "code+verifier",
        "+code",
        "code%5B%5D",
        "code[",
        "code[0]",
        "code_",
        "%EF%BB%BFcode_verifier_".trim_start_matches("%EF%BB%BF"),
        "%C5%BFtate",
    ] {
        let input = format!("{name}=1");
        let params = Params::parse(input.as_bytes(), 9).unwrap();
        assert!(
            params
                .folded_collision(&["code", "code_verifier", "state"])
                .is_some(),
            "{name}"
        );
    }
    let params = Params::parse(b"code=1&code_type=2&my_state=3&scopes[]=4", 9).unwrap();
    assert_eq!(
        params.folded_collision(&["code", "code_verifier", "state"]),
        None
    );
}

#[test]
fn brackets_and_semicolons_hide_protected_names() {
    let collision = |input: &str| {
        let params = Params::parse(input.as_bytes(), 9).unwrap();
        params.folded_collision(&["code_challenge", "state"])
    };
    for input in [
        "code[challenge=1",
        "code%5Bchallenge=1",
        "code_challenge]x=1",
        "[]state=1",
        "]state]=1",
        "scope=a;state=1",
        "x;code[challenge=1",
        "amp;state=1",
        "x=1;+%73tate=2",
    ] {
        assert!(collision(input).is_some(), "{input}");
    }
    for input in [
        "code[challenge]=1",
        "x[state]=1",
        "state=a;b=c",
        "x=;",
        "x;y=1",
        "s[tate]=1",
    ] {
        assert_eq!(collision(input), None, "{input}");
    }
}

#[test]
fn pairs_that_servers_split_elsewhere_are_found() {
    let is_cut = |input: &str| {
        let params = Params::parse(input.as_bytes(), 9).unwrap();
        params.iter().any(Pair::is_cut_elsewhere)
    };
    assert!(is_cut("a=b;c=d") && is_cut("a=b]=c") && is_cut("a;"));
    assert!(!is_cut("a[]=b") && !is_cut("a[]=b%5D=c%3B") && !is_cut("a=b]"));
}

#[test]
fn values_with_blanks_or_controls_at_an_end_are_padded() {
    let is_padded = |input: &str| {
        let params = Params::parse(input.as_bytes(), 9).unwrap();
        params.is_padded("client_id")
    };
    for input in [
        "client_id=+a",
        "client_id=a%0A",
        "client_id=%C2%A0a",
        "client_id=a%1F",
    ] {
        assert!(is_padded(input), "{input}");
    }
    assert!(!is_padded("client_id=a+b&scope=+a"));
}

#[test]
fn an_edit_leaves_other_bytes_unchanged() {
    let params = Params::parse(b"A=%7e&state=x+y&b&c=", 9).unwrap();
    let edited = params.edit(|pair| match pair.name() {
        "state" => Edit::Value("p&q".into()),
        "c" => Edit::Drop,
        _ => Edit::Keep,
    });
    assert_eq!(edited, b"A=%7e&state=p%26q&b");
}

#[test]
fn debug_shows_names_only() {
    let params = Params::parse(b"code=SECRET&state=HIDDEN", 9).unwrap();
    let shown = format!(
        "{params:?} {:?} {:?}",
        params.iter().next(),
        Edit::Value("SECRET".into())
    );
    assert!(
        !shown.contains("SECRET") && !shown.contains("HIDDEN"),
        "{shown}"
    );
}

proptest! {
    #[test]
    fn appended_pairs_parse_to_the_same_pairs(list in prop::collection::vec(("[^\0\u{feff}]{1,12}", "[^\0]{0,24}"), 0..12)) {
        let mut out = Vec::new();
        for (name, value) in &list {
            append_pair(&mut out, name, value);
        }
        let params = Params::parse(&out, 64).unwrap();
        let back: Vec<_> = params.iter().map(|p| (p.name().to_owned(), p.value().to_owned())).collect();
        prop_assert_eq!(back, list);
        prop_assert_eq!(params.edit(|_| Edit::Keep), out);
    }

    #[test]
    fn keeping_everything_changes_nothing(input in "[a-z=&%41+]{0,40}") {
        if let Ok(params) = Params::parse(input.as_bytes(), 64) {
            prop_assert_eq!(params.edit(|_| Edit::Keep), input.as_bytes());
        }
    }

    #[test]
    fn dropping_leaves_the_other_pairs(input in "[a-d=&]{0,40}", victim in "[a-d]") {
        if let Ok(params) = Params::parse(input.as_bytes(), 64) {
            let out = params.edit(|pair| if pair.name() == victim { Edit::Drop } else { Edit::Keep });
            let left: Vec<_> = params.iter().filter(|pair| pair.name() != victim).map(Pair::raw).collect();
            let out = Params::parse(&out, 64).unwrap();
            prop_assert_eq!(out.iter().map(Pair::raw).collect::<Vec<_>>(), left);
        }
    }

    #[test]
    fn checking_utf8_once_gives_the_same_result_as_checking_each_part(
        input in prop::collection::vec(prop::sample::select(b"aB&&==%+41;]\0\xc3\xa9\xef\xbb\xbf\xff".as_slice()), 0..40),
        limit in 0_usize..6,
        strict: bool,
    ) {
        let read = Params::read(&input, limit, strict).map(|params| {
            let pairs = params.iter().map(|pair| {
                (pair.name().to_owned(), pair.value.as_deref().map(str::to_owned), pair.has_equals(), pair.raw().to_vec())
            });
            pairs.collect::<Vec<_>>()
        });
        prop_assert_eq!(read, read_slowly(&input, limit, strict));
        if let Ok(params) = Params::read(&input, limit, strict) {
            prop_assert_eq!(params.is_cut_elsewhere(), params.iter().any(Pair::is_cut_elsewhere));
        }
        for pair in Params::read(&input, limit, strict).iter().flat_map(Params::iter) {
            let value = pair.raw.splitn(2, |&byte| byte == b'=').nth(1).unwrap_or_default();
            let is_cut = pair.raw.contains(&b';') || value.windows(2).any(|two| two == b"]=");
            prop_assert_eq!(pair.is_cut_elsewhere(), is_cut);
        }
    }

    #[test]
    fn a_padded_value_is_one_that_trimming_changes(value in "[a \u{a0}\u{1f}\u{2003}]{0,4}") {
        let mut input = b"client_id=".to_vec();
        encode_into(&mut input, &value);
        let trimmed = value.trim_matches(|c: char| c.is_whitespace() || c.is_control());
        prop_assert_eq!(Params::parse(&input, 1).unwrap().is_padded("client_id"), trimmed != value);
    }

    #[test]
    fn protected_names_behind_a_semicolon_are_found(input in "[st=;&\\[]{0,12}") {
        let protected = ["st", "s"];
        let Ok(params) = Params::parse(input.as_bytes(), 64) else { return Ok(()) };
        let names = params.iter().flat_map(|pair| {
            let behind = pair.raw.split(|&byte| byte == b';').skip(1);
            let behind = behind.map(|piece| piece.split(|&byte| byte == b'=').next().unwrap_or_default());
            let behind = behind.map(|name| String::from_utf8(name.to_vec()).unwrap());
            let own = Some(pair.name().to_owned()).filter(|name| !protected.contains(&name.as_str()));
            own.into_iter().chain(behind)
        });
        let first = names.into_iter().find(|name| is_folding_of(name, &protected));
        prop_assert_eq!(params.folded_collision(&protected), first);
    }
}

type Read = (String, Option<String>, bool, Vec<u8>);

/// A reference implementation that checks each part separately.
fn read_slowly(input: &[u8], limit: usize, strict: bool) -> Result<Vec<Read>, Malformed> {
    let mut pairs = Vec::new();
    for raw in input
        .split(|&byte| byte == b'&')
        .filter(|raw| !raw.is_empty())
    {
        if pairs.len() == limit {
            return Err(Malformed::TooMany);
        }
        let equals = raw.iter().position(|&byte| byte == b'=');
        let (name, value) = raw.split_at(equals.unwrap_or(raw.len()));
        let name = decode(name)?.into_owned();
        if name.is_empty() {
            return Err(Malformed::EmptyName);
        }
        if name.starts_with('\u{feff}') {
            return Err(Malformed::ByteOrderMark);
        }
        let value = match decode(value.get(1..).unwrap_or_default()) {
            Err(malformed) if strict => return Err(malformed),
            value => value.ok().map(Cow::into_owned),
        };
        pairs.push((name, value, equals.is_some(), raw.to_vec()));
    }
    Ok(pairs)
}
