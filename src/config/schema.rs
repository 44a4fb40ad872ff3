//! The shape of `config.toml`, declared once: each section with its keys.

pub(super) mod client;
pub(super) mod limits;
pub(super) mod pkce;
pub(super) mod server;
pub(super) mod store;
pub(super) mod upstream;

use super::key::Section;

/// The top level of the file. It contains sections only, no keys.
pub(super) static ROOT: Section = Section {
    path: "",
    list: false,
    keys: &[],
    later: &[],
};

/// Every section, in the order of `config.toml`.
pub(super) static SECTIONS: [&Section; 11] = [
    &server::SERVER,
    &server::ADMIN,
    &limits::LIMITS,
    &store::STORE,
    &server::LOG,
    &upstream::UPSTREAM,
    &upstream::ENDPOINTS,
    &upstream::ROUTES,
    &pkce::PKCE,
    &upstream::METADATA,
    &client::CLIENT,
];

/// The direct subsections of a section.
pub(super) fn below(section: &Section) -> impl Iterator<Item = &'static Section> {
    let path = section.path;
    let sections = SECTIONS.iter().copied();
    sections.filter(move |section| section.name().0 == path)
}
