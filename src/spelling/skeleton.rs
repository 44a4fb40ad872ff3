//! A client's name without everything that some server overlooks when it compares.

use icu_normalizer::DecomposingNormalizerBorrowed;
use icu_properties::CodePointSetData;
use icu_properties::props::{DefaultIgnorableCodePoint, GeneralCategory};
use icu_properties::{CodePointMapData, props};

/// What is left of a client identifier when it is cut at a NUL, without blanks at its ends, and without case, accents, width
/// and invisible characters. Two identifiers of one skeleton are the same client to some server: `MySQL` compares without case,
/// accents and trailing blanks by default, C ends a string at a NUL, frameworks trim what they read.
pub(crate) fn skeleton(id: &str) -> String {
    let cut = id.split('\0').next().unwrap_or_default();
    if cut.bytes().all(|byte| byte.is_ascii_graphic()) {
        return cut.to_ascii_lowercase();
    }
    let decomposed = DecomposingNormalizerBorrowed::new_nfkd().normalize(cut);
    let ignorable = CodePointSetData::new::<DefaultIgnorableCodePoint>();
    let category = CodePointMapData::<GeneralCategory>::new();
    let is_seen = |c: &char| {
        let mark = props::GeneralCategoryGroup::Mark.contains(category.get(*c));
        !mark && !ignorable.contains(*c) && (!c.is_control() || c.is_whitespace())
    };
    // To upper case before the last: a sharp s becomes two letters, a dotless i one with a dot. A capital sharp s has to be a
    // small one for that.
    let folded: String = decomposed
        .chars()
        .filter(is_seen)
        .flat_map(char::to_lowercase)
        .flat_map(char::to_uppercase)
        .flat_map(char::to_lowercase)
        .collect();
    // What the case changed may be an accent again.
    let folded: String = folded.chars().filter(is_seen).collect();
    folded.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_some_server_overlooks_is_gone() {
        for other in [
            "spa",
            "SPA",
            "Spa",
            " spa",
            "spa ",
            "spa\t",
            "spa\u{a0}",
            "spa\r\n",
            "spa\0",
            "spa\0x",
            "spä",
            "špå",
            "ｓｐａ",
            "s\u{200b}pa",
            "\u{feff}spa",
            "sp\u{ad}a",
            "s\u{301}pa",
            "ſpa",
            "𝓈𝓅𝒶",
            "ⓢⓟⓐ",
            "s\u{1}pa",
        ] {
            assert_eq!(skeleton(other), "spa", "{other:?}");
        }
        assert_eq!(skeleton("straße"), skeleton("STRASSE"));
        assert_eq!(skeleton("straße"), skeleton("STRA\u{1e9e}E"));
        assert_eq!(skeleton("gross"), skeleton("gro\u{1e9e}"));
        assert_eq!(skeleton("dİyar"), skeleton("dıyar"));
    }

    #[test]
    fn what_differs_to_every_server_stays_different() {
        for other in ["sp", "spaa", "s-pa", "s pa", "spa2", "", "https://spa"] {
            assert_ne!(skeleton(other), "spa", "{other:?}");
        }
    }

    proptest! {
        #[test]
        fn a_skeleton_has_itself_for_a_skeleton(id in "\\PC{0,12}") {
            prop_assert_eq!(skeleton(&skeleton(&id)), skeleton(&id));
        }

        #[test]
        fn plain_names_take_the_short_way_to_the_same_end(id in "[!-~]{0,12}") {
            prop_assert_eq!(skeleton(&format!("{id} ")), skeleton(&id));
        }
    }
}
