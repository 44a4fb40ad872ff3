//! Answers in JSON that carry a code.

use crate::oauth::json_text::Pointer;

/// Where JSON answers have a code, or a URL that contains one (`code_in_json`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodeInJson {
    /// The path of the requests, exact, with the prefix; `*` is any one segment.
    pub path: String,
    /// The value in the answer.
    pub pointer: Pointer,
}

impl CodeInJson {
    /// Whether the answers of this path are such answers.
    pub(crate) fn is_at(&self, path: &str) -> bool {
        let (mut expected, mut segments) = (self.path.split('/'), path.split('/'));
        loop {
            match (expected.next(), segments.next()) {
                (None, None) => return true,
                (Some("*"), Some(segment)) if !segment.is_empty() => {}
                (Some(expected), Some(segment)) if expected == segment => {}
                _ => return false,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_any_one_segment() {
        let at = |path: &str| CodeInJson {
            path: path.to_owned(),
            pointer: Pointer::parse("/result").unwrap(),
        };
        for (pattern, path, expected) in [
            ("/flow/*", "/flow/1", true),
            ("/flow/*", "/flow/", false),
            ("/flow/*", "/flow", false),
            ("/flow/*", "/flow/1/2", false),
            ("/*/flow", "/a/flow", true),
            ("/flow", "/flow", true),
            ("/flow", "/Flow", false),
        ] {
            assert_eq!(at(pattern).is_at(path), expected, "{pattern} {path}");
        }
    }
}
