//! Judges a token request that the gate has not received. The order is that of [`super::handle`].

use http::{Method, StatusCode};

use crate::gateway::preview::draft::Draft;
use crate::gateway::preview::found::{Check, Found, Verdict};
use crate::oauth::{Ambiguous, ClientIdentity, Params, Redemption, TokenRequest, endpoint_query};
use crate::policy::{Hint, Mode, Violation, redeem};

use super::form::of_body;
use super::parsed::{may_be_unbound, parsed, unknown_method};

/// Judges a request on a token path.
pub(in crate::gateway) fn preview<'c>(draft: &Draft<'c, '_>) -> Found<'c> {
    let names = &draft.settings.endpoints.query;
    let is_allowed = |query| endpoint_query::is_allowed(query, names);
    let has_query = !draft.query.is_none_or(is_allowed);
    let has_content = has_query || !draft.body.is_empty();
    let is_watched = draft.settings.rules.observes_only();
    if draft.method == Method::OPTIONS && !(has_content && is_watched) {
        return preflight(has_content);
    }
    judged(draft, has_query).unwrap_or_else(|violation| draft.unreadable(violation))
}

fn preflight<'c>(has_content: bool) -> Found<'c> {
    Found::new(if has_content {
        let text =
            "an OPTIONS request here must have no body, and no query except a configured one";
        Verdict::Barred(StatusCode::BAD_REQUEST, text)
    } else {
        Verdict::Passes("a CORS preflight is forwarded without its credentials")
    })
}

/// `Err`: the request is not one unambiguous request.
fn judged<'c>(draft: &Draft<'c, '_>, has_query: bool) -> Result<Found<'c>, Violation> {
    if draft.method != Method::POST {
        return Err(unknown_method());
    }
    let pairs = draft.limits.form_pairs;
    let body = of_body(draft.headers, has_query, draft.peeked(), pairs);
    let body = body.map_err(|(violation, _)| violation)?;
    if body.contains(&b'{') && draft.said(draft.headers).in_document.ask_for_token() {
        return Err(Ambiguous::Document.into());
    }
    let params = Params::parse(&body, pairs)?;
    let request = match parsed(draft.settings, &draft.key, &params, draft.authorization()) {
        Ok(request) => request,
        Err(why) => {
            let is_client = matches!(why, Ambiguous::Client(_));
            let mut found = draft.unreadable(why.into());
            if let ([(check, _)], true) = (&mut *found.checks, is_client) {
                *check = Check::ClientAuthentication;
                found.checks.insert(0, (Check::Parses, Ok(())));
            }
            return Ok(found);
        }
    };
    let found = match request {
        // The gate looks the code up. One of so few digits is none that it has issued.
        TokenRequest::Redemption(redemption) if redemption.may_be_one_time_password() => {
            other_grant(draft, redemption.grant_type, redemption.client.as_ref())
        }
        TokenRequest::Redemption(redemption) => of_redemption(draft, &redemption),
        TokenRequest::Other { grant_type, client } => {
            other_grant(draft, grant_type, client.as_ref())
        }
    };
    Ok(Found {
        parameters: shown(&params),
        ..found
    })
}

fn of_redemption<'c>(draft: &Draft<'c, '_>, redemption: &Redemption<'_>) -> Found<'c> {
    let client = redemption.client.as_ref();
    let named = draft.settings.rules.of_identity(client, draft.today);
    // The code may belong to any client.
    let rule = if client.is_none() || !redemption.code.is_plain() {
        named.stricter(draft.strictest())
    } else {
        named
    };
    let each = redeem::each(rule, redemption).into_iter();
    let each = each.map(|(check, verdict)| (Check::Redemption(check), verdict));
    let first = [Check::Parses, Check::ClientAuthentication, Check::Code];
    let first = first.into_iter().map(|check| (check, Ok(())));
    let hint = redemption.code_verifier.and_then(Hint::of_verifier);
    let is_open = may_be_unbound(&draft.key, redemption);
    Found {
        client: client.map(|client| client.id().clone()),
        rule: Some(rule),
        checks: first.chain(each).collect(),
        hint: hint.filter(|_| rule.mode != Mode::Off),
        open: Some(
            "The rest depends on the sign-in of the code, which is not known here: whether the code is alive, its client, its redirect \
             URI, and its challenge. The stricter rule of the two clients applies.",
        ),
        ..Found::new(if is_open {
            Verdict::Open(
                "it has a device code and no verifier: the record of the device code decides",
            )
        } else {
            Verdict::Judged(redeem::at_best(rule, redemption).err())
        })
    }
}

/// A grant without a code.
fn other_grant<'c>(
    draft: &Draft<'c, '_>,
    grant_type: Option<&str>,
    client: Option<&ClientIdentity>,
) -> Found<'c> {
    let rule = draft.settings.rules.of_identity(client, draft.today);
    let violation = redeem::other_grant(rule, grant_type).err();
    let check = match &violation {
        Some(Violation::MalformedRequest(_)) => Check::Code,
        Some(_) | None => Check::Redemption(redeem::Check::Grant),
    };
    Found {
        client: client.map(|client| client.id().clone()),
        rule: Some(rule),
        checks: vec![
            (Check::Parses, Ok(())),
            (Check::ClientAuthentication, Ok(())),
            (check, violation.clone().map_or(Ok(()), Err)),
        ],
        ..Found::new(Verdict::Judged(violation))
    }
}

/// The parameters. Of values that may be secret, only the length.
fn shown(params: &Params<'_>) -> Vec<(String, String)> {
    const SHOWN: [&str; 4] = ["grant_type", "client_id", "redirect_uri", "scope"];
    let pair = |name: &str, value: &str| {
        let shown = if SHOWN.contains(&name) {
            value.chars().take(200).collect()
        } else {
            format!("({} characters)", value.chars().count())
        };
        (name.to_owned(), shown)
    };
    let own = params.iter().filter(|pair| is_known(pair.name()));
    own.map(|it| pair(it.name(), it.value())).collect()
}

/// Whether the name is one of OAuth: another one may be a secret itself.
fn is_known(name: &str) -> bool {
    crate::oauth::token::PROTECTED.contains(&name)
        || [
            "scope",
            "refresh_token",
            "device_code",
            "username",
            "password",
        ]
        .contains(&name)
}
