//! What must hold in front of every real server, in its every response mode: PKCE is enforced, and people notice nothing.
//! That no code of the server's own gets out, and none comes back unverified, each [`Stage`](crate::support::stage::Stage)
//! checks by itself.

mod again;
mod bare;
mod out_of_band;
mod people;
mod pkce;
mod sloppy;

/// Makes of each function a test per server: of those that show pages, or of all.
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
