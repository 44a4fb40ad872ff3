//! Tests with every real server and each of its response modes: PKCE is enforced, and users notice nothing. Each
//! [`Stage`](crate::support::stage::Stage) also checks that no code of the server leaks, and that none comes back unverified.

mod again;
mod bare;
pub(crate) mod better_auth;
mod device;
mod home_assistant;
mod out_of_band;
mod own_pair;
mod people;
mod pkce;
mod pushed;
mod sloppy;

/// Makes a test per server of each function: for the servers with pages, or for all.
macro_rules! on_every_server {
    ($($test:ident),* $(,)?) => {
        on_every_server!(@ oauth2_mock_server OAUTH2_MOCK_SERVER $($test)*);
        on_every_server!(with pages: $($test),*);
    };
    (with pages: $($test:ident),* $(,)?) => {
        on_every_server!(@ oidc_provider OIDC_PROVIDER $($test)*);
        on_every_server!(@ oidc_provider_fragment OIDC_PROVIDER_FRAGMENT $($test)*);
        on_every_server!(@ oidc_provider_form_post OIDC_PROVIDER_FORM_POST $($test)*);
        on_every_server!(@ oauth2_server OAUTH2_SERVER $($test)*);
        on_every_server!(@ django_oauth_toolkit DJANGO_OAUTH_TOOLKIT $($test)*);
        on_every_server!(@ django_allauth DJANGO_ALLAUTH $($test)*);
        on_every_server!(@ authlib_server AUTHLIB_SERVER $($test)*);
        on_every_server!(@ doorkeeper DOORKEEPER $($test)*);
    };
    (@ $server:ident $target:ident $($test:ident)*) => {
        mod $server {
            $(#[test]
            fn $test() {
                super::$test(&crate::support::servers::$target);
            })*
        }
    };
}
pub(crate) use on_every_server;
