//! The snippets that the gate shows to developers: each signs in through the gate, and is in the manual and on the page.

use std::collections::BTreeSet;
use std::path::Path;

use super::{
    ALLAUTH_PATHS, CONFIDENTIAL, DJANGO_PATHS, OAUTH2_SERVER_PATHS, assert_completed, completes,
    run,
};
use crate::support::html::unescaped;
use crate::support::rig::Rig;
use crate::support::servers::{DJANGO_ALLAUTH, DJANGO_OAUTH_TOOLKIT, OAUTH2_SERVER, OIDC_PROVIDER};
use crate::support::stage::Stage;
use crate::support::tree::{below, read};

#[test]
fn the_snippet_for_openid_client_completes() {
    completes(&OIDC_PROVIDER, "clients/snippets/openid-client.mjs", &[]);
}

#[test]
fn the_snippet_for_oauth4webapi_completes() {
    completes(&OIDC_PROVIDER, "clients/snippets/oauth4webapi.mjs", &[]);
}

#[test]
fn the_snippet_for_oidc_client_ts_completes() {
    completes(&OIDC_PROVIDER, "clients/snippets/oidc-client-ts.mjs", &[]);
}

#[test]
fn the_snippet_for_authlib_completes() {
    let program = "clients/snippets/authlib.py";
    completes(&DJANGO_OAUTH_TOOLKIT, program, &DJANGO_PATHS);
    completes(&DJANGO_ALLAUTH, program, &ALLAUTH_PATHS);
}

#[test]
fn the_snippet_for_x_oauth2_completes() {
    let stage = Stage::new(&OAUTH2_SERVER);
    let arguments = [OAUTH2_SERVER_PATHS, CONFIDENTIAL].concat();
    let outcome = run(&stage, "clients/snippets/x_oauth2.go", &arguments);
    assert_completed(&stage, &outcome);
}

/// A snippet that no test runs would not be noticed when it is wrong.
#[test]
fn every_snippet_is_tested_and_shown_on_the_page_and_in_the_manual() {
    let rig = Rig::new();
    let page = rig.enter(&rig.authorization().without_challenge());
    let page = unescaped(page.text());
    let manual = read("docs/src/clients.md");
    let tests = read("tests/it/real_clients/snippets.rs");
    let files = below("src/pages/snippets");
    for file in &files {
        let name = Path::new(file).file_name().and_then(|name| name.to_str());
        let name = name.expect("paths are UTF-8");
        let completes = format!("\"clients/snippets/{name}\"");
        assert!(tests.contains(&completes), "{name} is not run");
        let include = format!("{{{{#include ../../src/pages/snippets/{name}}}}}");
        assert!(manual.contains(&include), "{name} is not in the manual");
        let code = read(file);
        assert!(page.contains(code.trim_end()), "{name}: {page}");
    }
    let distinct: BTreeSet<_> = files.iter().collect();
    assert_eq!(distinct.len(), 5, "{files:?}");
}
