//! The skeleton of a client identifier: what remains without all differences that some server ignores in comparisons.

use icu_normalizer::DecomposingNormalizerBorrowed;
use icu_properties::CodePointSetData;
use icu_properties::props::{DefaultIgnorableCodePoint, GeneralCategory};
use icu_properties::{CodePointMapData, props};

/// Cuts a client identifier at a NUL, trims it, and removes case, accents, width and invisible characters. To some
/// server, identifiers with the same skeleton are the same client: `MySQL` ignores case, accents and trailing blanks by
/// default, C ends strings at a NUL, and frameworks trim.
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
    // Upper case, between two steps of lower case, turns a sharp s into two letters and a dotless i into one with a
    // dot. A capital sharp s must be in lower case first.
    let folded: String = decomposed
        .chars()
        .filter(is_seen)
        .flat_map(char::to_lowercase)
        .flat_map(char::to_uppercase)
        .flat_map(char::to_lowercase)
        .collect();
    // Folding case may produce combining marks again.
    let folded: String = folded.chars().filter(is_seen).collect();
    folded.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn differences_that_some_server_ignores_are_removed() {
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
    fn differences_that_count_for_every_server_stay() {
        for other in ["sp", "spaa", "s-pa", "s pa", "spa2", "", "https://spa"] {
            assert_ne!(skeleton(other), "spa", "{other:?}");
        }
    }

    proptest! {
        #[test]
        fn a_skeleton_is_its_own_skeleton(id in "\\PC{0,12}") {
            prop_assert_eq!(skeleton(&skeleton(&id)), skeleton(&id));
        }

        #[test]
        fn plain_identifiers_have_the_same_skeleton_on_the_fast_path(id in "[!-~]{0,12}") {
            prop_assert_eq!(skeleton(&format!("{id} ")), skeleton(&id));
        }
    }
}
