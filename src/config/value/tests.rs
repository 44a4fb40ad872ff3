use super::*;

fn check<T>(kind: &Kind<T>, input: &str, expected: Result<T, &str>)
where
    T: PartialEq + std::fmt::Debug,
{
    let found = (kind.read)(input).map_err(|wrong| wrong.label);
    assert_eq!(found, expected.map_err(str::to_owned), "{input:?}");
}

#[test]
fn durations_are_a_whole_number_and_a_unit() {
    for (input, millis) in [
        ("250ms", 250),
        ("2s", 2_000),
        ("15m", 900_000),
        ("1h", 3_600_000),
        ("0s", 0),
    ] {
        check(&DURATION, input, Ok(Duration::from_millis(millis)));
    }
    for (input, label) in [
        ("", "the unit is missing"),
        ("15", "the unit is missing"),
        ("15 m", "\"m\" is not a unit"),
        ("15min", "\"min\" is not a unit"),
        ("1.5s", "\".5s\" is not a unit"),
        ("-1s", "\"-1s\" is not a unit"),
        ("1h30m", "\"h30m\" is not a unit"),
        ("1d", "\"d\" is not a unit"),
        ("s", "the number is missing or too large"),
        (
            "99999999999999999999s",
            "the number is missing or too large",
        ),
        ("18446744073709551615h", "this is too long"),
    ] {
        check(&DURATION, input, Err(label));
    }
}

#[test]
fn sizes_are_powers_of_1024() {
    for (input, bytes) in [
        ("64B", 64),
        ("32KiB", 32 << 10),
        ("1MiB", 1 << 20),
        ("1GiB", 1 << 30),
    ] {
        check(&SIZE, input, Ok(bytes));
    }
    for (input, label) in [
        ("32", "the unit is missing"),
        ("32KB", "sizes are powers of 1024"),
        ("32k", "sizes are powers of 1024"),
        ("32 KiB", "\"KiB\" is not a unit"),
        ("KiB", "the number is missing or too large"),
        (
            "99999999999999999999B",
            "the number is missing or too large",
        ),
        (
            "18446744073709551615KiB",
            "the number is missing or too large",
        ),
    ] {
        check(&SIZE, input, Err(label));
    }
}

#[test]
fn addresses_are_an_ip_address_and_a_port() {
    for input in ["127.0.0.1:8080", "[::1]:8080", "0.0.0.0:0"] {
        check(&ADDRESS, input, Ok(input.parse().unwrap()));
    }
    for (input, label, help) in [
        (":8080", "the address is missing", "0.0.0.0:8080"),
        (
            "localhost:80",
            "names are not looked up here",
            "127.0.0.1:80",
        ),
        ("127.0.0.1", "the port is missing", "127.0.0.1:8080"),
        ("::1", "the port is missing", "[::1]:8080"),
        ("host:80", "not an IP address and port", "127.0.0.1:8080"),
        (
            "1.2.3.4:99999",
            "not an IP address and port",
            "127.0.0.1:8080",
        ),
    ] {
        let wrong = (ADDRESS.read)(input).unwrap_err();
        assert_eq!(wrong.label, label, "{input}");
        assert!(wrong.help.ends_with(&format!("{help:?}")), "{wrong:?}");
    }
    let unix = (ADDRESS.read)("unix:/run/pkce-gate.sock").unwrap_err();
    assert_eq!(unix.later.as_deref(), Some("a unix: socket"));
}

#[test]
fn networks_have_a_prefix_length_and_no_bits_beyond_it() {
    for input in ["10.0.0.0/8", "10.1.2.3/32", "fd00::/8", "0.0.0.0/0"] {
        check(&NETWORK, input, Ok(input.parse().unwrap()));
    }
    for (input, label, help) in [
        (
            "10.0.0.1",
            "the prefix length is missing",
            "write \"10.0.0.1/32\"",
        ),
        ("::1", "the prefix length is missing", "write \"::1/128\""),
        (
            "10.0.0.1/8",
            "it has bits beyond its prefix length",
            "write \"10.0.0.0/8\"",
        ),
        (
            "example.com",
            "not an address with a prefix length",
            "write a network such as \"10.0.0.0/8\" or \"fd00::/8\"",
        ),
    ] {
        let wrong = (NETWORK.read)(input).unwrap_err();
        assert_eq!((wrong.label.as_str(), wrong.help.as_str()), (label, help));
    }
}

#[test]
fn strings_must_be_printable() {
    check(&TEXT, "Team Ä", Ok("Team Ä".to_owned()));
    check(&TEXT, " ", Err("it is empty"));
    check(&TEXT, "a\u{1b}[31m", Err("it has a control character"));
}

#[test]
fn durations_and_sizes_are_shown_in_their_largest_exact_unit() {
    for (millis, shown) in [
        (0, "\"0s\""),
        (10, "\"10ms\""),
        (1_500, "\"1500ms\""),
        (90_000, "\"90s\""),
        (900_000, "\"15m\""),
        (3_600_000, "\"1h\""),
    ] {
        assert_eq!(show_duration(Duration::from_millis(millis)), shown);
    }
    for (bytes, shown) in [
        (0, "\"0B\""),
        (100, "\"100B\""),
        (8192, "\"8KiB\""),
        (1 << 21, "\"2MiB\""),
    ] {
        assert_eq!(show_size(bytes), shown);
    }
}
