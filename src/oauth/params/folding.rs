//! How lenient frameworks normalise the names of parameters.

/// Whether some framework reads `name` as one of `known`.
pub(crate) fn is_folding_of(name: &str, known: &[&str]) -> bool {
    let is_one = |folded: String| {
        let mut known = known.iter();
        known.any(|known| letters(known.as_bytes()).eq(folded.bytes()))
    };
    foldings(name).any(is_one)
}

/// The ASCII letters and digits of a name, in lower case.
pub(crate) fn letters(name: &[u8]) -> impl Iterator<Item = u8> {
    let letters = name.iter().filter(|byte| byte.is_ascii_alphanumeric());
    letters.map(u8::to_ascii_lowercase)
}

/// The names that lenient frameworks may read. In most of them a name ends at a bracket, and in those written in C at a
/// NUL; PHP turns an unclosed bracket into a `_`.
pub(crate) fn foldings(name: &str) -> impl Iterator<Item = String> {
    let brackets = ['[', ']'];
    let opened = name.trim_start_matches(brackets);
    let cut = opened.split(['[', ']', '\0']).next().unwrap_or_default();
    let unclosed = opened
        .split_once('[')
        .is_some_and(|(_, rest)| !rest.contains(']'));
    let whole = unclosed.then(|| fold(opened.split('\0').next().unwrap_or_default()));
    // Some frameworks drop the NUL instead.
    let without_nul = name.contains('\0').then(|| fold(name));
    std::iter::once(fold(cut)).chain(whole).chain(without_nul)
}

/// Whether [`fold`] of `name` equals `folded`.
pub(crate) fn folds_to(name: &str, folded: &str) -> bool {
    if name.is_ascii() {
        return letters(name.as_bytes()).eq(folded.bytes());
    }
    fold(name) == folded
}

/// Removes case and punctuation from a name.
///
/// Folds case as Unicode does (`ſ` becomes `s`, the Kelvin sign `k`), because some runtimes do.
pub(crate) fn fold(name: &str) -> String {
    if name.is_ascii() {
        return letters(name.as_bytes()).map(char::from).collect();
    }
    name.chars()
        .flat_map(char::to_uppercase)
        .flat_map(char::to_lowercase)
        .filter(char::is_ascii_alphanumeric)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fold_slowly(name: &str) -> String {
        name.chars()
            .flat_map(char::to_uppercase)
            .flat_map(char::to_lowercase)
            .filter(char::is_ascii_alphanumeric)
            .collect()
    }

    proptest! {
        #[test]
        fn folding_without_a_copy_gives_the_same_result(name in "(co|CO|o|k|[\\[]|\\]|[_. -]|\0|ſ|\u{212a}){0,5}", other in "\\PC{0,6}") {
            for name in [&name, &other] {
                let known = ["co", "o_c", "s", "cook"];
                let folded = known.map(fold_slowly);
                let slowly = foldings(name).any(|read| folded.contains(&read));
                prop_assert_eq!(is_folding_of(name, &known), slowly, "{:?}", name);
                prop_assert_eq!(fold(name), fold_slowly(name), "{:?}", name);
                for folded in ["co", "cook", "s", "", &fold_slowly(name)] {
                    prop_assert_eq!(folds_to(name, folded), fold_slowly(name) == folded, "{:?}", name);
                }
            }
        }
    }
}
