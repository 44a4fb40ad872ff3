//! Recognises parameters of an answer that are credentials, by their names.

use crate::oauth::params::folds_to;

/// The credentials that some client takes a name for.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Credentials {
    pub(super) code: bool,
    pub(super) access_token: bool,
    pub(super) id_token: bool,
}

impl Credentials {
    pub(super) fn of(name: &str) -> Self {
        let name = of_list(name);
        Self {
            code: folds_to(name, "code"),
            access_token: folds_to(name, "accesstoken"),
            id_token: folds_to(name, "idtoken"),
        }
    }

    pub(super) fn any(self) -> bool {
        self.code || self.is_token()
    }

    pub(super) fn is_token(self) -> bool {
        self.access_token || self.id_token
    }
}

/// The name of the list in a name such as `code[0]`. Other names are returned unchanged.
pub(super) fn of_list(name: &str) -> &str {
    let list = name.trim_start_matches('[');
    list.split_once('[').map_or(name, |(list, _)| list)
}
