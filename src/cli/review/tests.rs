use super::names::plain;
use super::*;

#[test]
fn names_stay_in_their_line_and_cell() {
    for (name, shown) in [
        ("spa", "spa"),
        ("a\nb\u{1b}[31m\u{202e}c", "ab[31mc"),
        (&*"x".repeat(61), &*("x".repeat(60) + "…")),
    ] {
        assert_eq!(plain(name), shown);
    }
}

#[test]
fn other_documents_are_not_a_review() {
    for document in ["", "{}", "[]", "not ready\n"] {
        for format in [Format::Text, Format::Md, Format::Json, Format::Sarif] {
            assert_eq!(written(document, format), None, "{document}");
        }
    }
}
