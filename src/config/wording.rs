//! Helpers for messages: quoting, listing words, and finding the word that was probably meant.

/// Quotes, escapes and shortens a text for a message.
pub(super) fn quoted(text: &str) -> String {
    const LONGEST: usize = 60;
    if text.chars().count() <= LONGEST {
        return format!("{text:?}");
    }
    let start: String = text.chars().take(LONGEST).collect();
    format!("{:?}", start + "…")
}

/// Returns the most similar word and its edit distance.
pub(super) fn nearest<'w>(text: &str, words: &[&'w str]) -> Option<(usize, &'w str)> {
    let text = folded(text);
    let farthest = match text.chars().count() {
        0..=4 => 1,
        5..=8 => 2,
        _ => 3,
    };
    words
        .iter()
        .map(|word| (strsim::damerau_levenshtein(&text, &folded(word)), *word))
        .filter(|(distance, _)| *distance <= farthest)
        // At equal distance prefer the same first letter: typing errors rarely affect it.
        .min_by_key(|(distance, word)| {
            (*distance, !text.starts_with(word.get(..1).unwrap_or(word)))
        })
}

/// Folds a word so that `trustedProxies`, `trusted-proxies` and `trusted_proxies` are equal.
fn folded(word: &str) -> String {
    word.chars()
        .filter(|character| !matches!(character, '-' | '_'))
        .flat_map(char::to_lowercase)
        .collect()
}

/// Lists words as `"a", "b" or "c"`.
pub(super) fn one_of(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
    match quoted.split_last() {
        None => String::new(),
        Some((only, [])) => only.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_similar_word_is_suggested() {
        let words = ["listen", "workers", "trusted_proxies", "drain", "url"];
        for (text, meant) in [
            ("lisen", Some("listen")),
            ("Listen", Some("listen")),
            ("trusted-proxies", Some("trusted_proxies")),
            ("trustedProxies", Some("trusted_proxies")),
            ("trusted_proxy", Some("trusted_proxies")),
            ("uri", Some("url")),
            ("x", None),
            ("timeout", None),
        ] {
            assert_eq!(nearest(text, &words).map(|(_, word)| word), meant, "{text}");
        }
    }

    #[test]
    fn quoted_text_is_escaped_and_shortened() {
        assert_eq!(quoted("a\"\n"), "\"a\\\"\\n\"");
        assert_eq!(quoted(&"ä".repeat(100)).chars().count(), 63);
    }
}
