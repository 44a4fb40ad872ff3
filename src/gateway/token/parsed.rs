//! What a token request alone tells.

use crate::flow::{HandleKey, Purpose};
use crate::gateway::settings::Settings;
use crate::oauth::params::{Pair, Params};
use crate::oauth::{Ambiguous, CodeKind, Redemption, TokenRequest};
use crate::policy::Violation;

/// Parses a token request without the store. A `device_code` is looked up if device codes may be bound now, or if it is the gate's own, from an
/// earlier configuration.
pub(super) fn parsed<'p>(
    settings: &Settings,
    key: &HandleKey,
    params: &'p Params<'_>,
    authorization: Option<&[u8]>,
) -> Result<TokenRequest<'p>, Ambiguous> {
    let is_own = |code: &Pair<'_>| key.recognise(Purpose::Device, code.value()).is_some();
    let mut codes = params.all(CodeKind::Device.parameter());
    if settings.code_kinds().contains(&CodeKind::Device) || codes.any(is_own) {
        TokenRequest::parse_with_device(params, authorization)
    } else {
        TokenRequest::parse(params, authorization)
    }
}

/// Whether the request has a device code that may be one without a challenge, by the request alone.
pub(super) fn may_be_unbound(key: &HandleKey, redemption: &Redemption<'_>) -> bool {
    let code = &redemption.code;
    let is_own = |purpose| key.recognise(purpose, code.expose()).is_some();
    // A handle for another purpose is not a device code either.
    let mut purposes = [Purpose::State, Purpose::Code, Purpose::Device].into_iter();
    code.kind() == CodeKind::Device
        && redemption.code_verifier.is_none()
        && code.is_plain()
        && !purposes.any(is_own)
}

pub(super) fn unknown_method() -> Violation {
    Violation::malformed("a token request must be a POST")
}
