//! The codes that clients get in JSON.

use crate::answer::carrier::member::Member;
use crate::oauth::json;

/// A member of a document: its value is read as every parser reads it, and only that value is replaced.
pub fn json_member(input: &[u8]) {
    let parsed = json::parse(input);
    let value = parsed
        .as_ref()
        .and_then(|document| document.get("code")?.as_str());
    let Some(member) = Member::find(input, "code") else {
        assert!(value.is_none_or(str::is_empty), "it is there");
        return;
    };
    assert_eq!(Some(member.value.as_str()), value);
    let replaced = member
        .replaced(input, "pgc0")
        .expect("it is in the document");
    let rewritten = json::parse(&replaced).expect("the rewritten document is JSON");
    let mut expected = parsed.expect("it is JSON");
    if let Some(members) = expected.as_object_mut() {
        members.insert("code".to_owned(), "pgc0".into());
    }
    assert_eq!(rewritten, expected);
    let kept = |text: &[u8], from_end: usize| {
        text.get(text.len().saturating_sub(from_end)..)
            .map(<[u8]>::to_vec)
    };
    let same = input
        .iter()
        .zip(&replaced)
        .take_while(|(one, other)| one == other);
    let before = same.count();
    let after = replaced.len().saturating_sub(before + "pgc0".len());
    assert_eq!(kept(input, after), kept(&replaced, after));
}
