//! Judges a carrier: whether it may be delivered, and whether its code has to be bound.
//!
//! Pure. The gateway finds the carriers of an answer ([`crate::answer::carrier`]), asks the store for the sign-in of each, and
//! passes both as [`Facts`]. The rules are checked in this order; the first that fails is the verdict:
//!
//! 1. An answer belongs to one sign-in.
//! 2. A carrier without a sign-in takes no code and no token to a client. A redirect within the server may have a code of the
//!    server's own, but not a token as in an authorization response.
//! 3. The credentials of a sign-in go to its redirect URI only, and only in answer to a request of its own client.
//! 4. A token is delivered only if the sign-in asked for it, with a response type that its client may use.
//! 5. A signed response is delivered only if the sign-in asked for one and its client gets the upstream's own code. A possible
//!    credential in a part that cannot be parsed is not delivered: nothing can be replaced there.
//! 6. There is one code. The sign-in asked for a code, its parameter has the exact name, it is not too long, there is no error
//!    beside it, and it did not come with the request: the client itself could have put it there.
//! 7. The browser is the one that began the sign-in, if `browser_binding` requires that.

use crate::answer::carrier::Carried;
use crate::answer::carrier::detect::Credential;
use crate::flow::PendingAuthorization;
use crate::oauth::{ResponseMode, ResponseType};
use crate::policy::Rule;

/// The reason for refusing an answer to another browser.
pub(crate) const OTHER_BROWSER: &str = "the sign-in was begun in another browser";

/// The reason for refusing an answer that fits to several sign-ins.
const AMBIGUOUS: &str = "it may belong to several sign-ins of this browser, and the request does not say without doubt to which; \
                         finish them one after the other";

/// The sign-in that a carrier belongs to.
#[derive(Debug)]
pub(crate) enum SignIn {
    /// No sign-in.
    None,
    /// Several sign-ins.
    Several,
    /// One of several that have equal values, and the request does not say which. Or one, but the request cannot be read without
    /// doubt.
    Ambiguous,
    /// A sign-in that has ended, or whose record is in conflict.
    Dead,
    /// One of several that cannot be distinguished, because the gate changes nothing that would distinguish them
    /// (`mode = "report"`, `codes = "upstream"`).
    Uncertain,
    /// This sign-in.
    Live(Box<PendingAuthorization>),
}

/// The kind of URL that a carrier leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leads {
    /// The redirect URI of the sign-in.
    ToClient,
    /// A URL that is neither at the upstream's origin nor at the public one.
    Away,
    /// A URL at one of these two origins.
    Home,
}

/// The facts about a carrier.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "each is a separate fact")]
pub(crate) struct Facts<'a> {
    pub carried: &'a Carried,
    pub sign_in: &'a SignIn,
    pub leads: Leads,
    /// Whether its code may have come with the request.
    pub came_along: bool,
    /// Whether another browser began the sign-in, and `browser_binding` refuses that.
    pub is_other_browser: bool,
    /// Whether the request was for another client with a stricter rule.
    pub is_of_other_client: bool,
    /// Whether the client gets the code itself (`codes = "upstream"`), so that nothing has to be replaced.
    pub stays: bool,
    /// The rule of the sign-in's client, or the stricter rule of that other client.
    pub rule: &'a Rule,
}

/// What to do with a carrier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plan {
    /// Nothing.
    Pass,
    /// Bind its code to the sign-in, and replace it.
    Bind,
    /// Remember that the sign-in of its code is uncertain.
    Note,
}

/// Why an answer must not be delivered.
pub(crate) type Unsafe = &'static str;

/// Judges a carrier.
pub(crate) fn judge(facts: &Facts<'_>) -> Result<Plan, Unsafe> {
    let carried = facts.carried;
    let record = match facts.sign_in {
        SignIn::Several => return Err("two sign-ins in one answer"),
        SignIn::Ambiguous if carried.has_credential() || carried.signed => return Err(AMBIGUOUS),
        SignIn::Ambiguous => return Ok(Plan::Pass),
        // An answer that was refused, and so ended its sign-in, is refused when it is repeated.
        SignIn::Dead
            if (carried.has_credential() || carried.signed) && facts.leads != Leads::Home =>
        {
            return Err("a code for a sign-in that has ended");
        }
        SignIn::Uncertain
            if carried.has_tokens() || carried.unread || carried.signed_credential =>
        {
            return stray(facts);
        }
        SignIn::None | SignIn::Dead => return stray(facts),
        SignIn::Uncertain if carried.codes.is_empty() => return Ok(Plan::Pass),
        SignIn::Uncertain => return Ok(Plan::Note),
        SignIn::Live(record) => record,
    };
    // The server's own pages may have a parameter `code`. A possible authorization code beside a handle is found later, by the
    // check of the rest of the answer.
    if facts.leads == Leads::Home {
        return stray(facts);
    }
    if facts.leads != Leads::ToClient {
        return if carried.has_credential() || carried.signed {
            Err("a code for another redirect URI")
        } else {
            Ok(Plan::Pass)
        };
    }
    if facts.is_of_other_client && (carried.has_credential() || carried.signed) {
        return Err("a code for a request of another client");
    }
    if carried.has_tokens() && !may_have_tokens(carried, record, facts.rule) {
        return Err("a token that was not asked for");
    }
    if carried.signed {
        may_be_signed(facts, record)?;
    }
    if carried.lookalike {
        return Err("a parameter that some clients take for a code");
    }
    if carried.unread {
        return Err("a possible code or token, in a part that cannot be parsed");
    }
    match carried.codes.as_slice() {
        [] => return Ok(Plan::Bind),
        [..] if !may_have_code(record) => return Err("a code that was not asked for"),
        [_] if carried.error => return Err("a code in an error response"),
        [code] if code.is_too_long() => return Err("a code of more than 4096 bytes"),
        [_] if facts.came_along => return Err("a code that came with the request"),
        [_] => {}
        [..] => return Err("two codes in one answer"),
    }
    if facts.is_other_browser {
        return Err(OTHER_BROWSER);
    }
    Ok(Plan::Bind)
}

/// Whether the sign-in may have a signed response.
fn may_be_signed(facts: &Facts<'_>, record: &PendingAuthorization) -> Result<(), Unsafe> {
    let asked = record.application.response_mode.as_deref();
    let asked = asked.and_then(ResponseMode::parse);
    if !facts.stays {
        Err("a signed response, whose code cannot be replaced")
    } else if !asked.is_some_and(ResponseMode::is_signed) {
        Err("a signed response that was not asked for")
    } else if !facts.carried.signed_is_read {
        Err("an encrypted response, or one that cannot be read")
    } else {
        Ok(())
    }
}

/// Judges a carrier without a live sign-in.
fn stray(facts: &Facts<'_>) -> Result<Plan, Unsafe> {
    let carried = facts.carried;
    // Servers use parameters with such names internally, but not in a fragment, nor together with `token_type` and the like.
    let is_response = carried.in_fragment || carried.token_company;
    let is_token = carried.has_tokens() && (facts.leads != Leads::Home || is_response);
    let is_code = carried.lookalike || carried.unread || !carried.codes.is_empty();
    if is_token || is_code && facts.leads != Leads::Home {
        return Err("a code or token without a live sign-in");
    }
    // The handle may be inside the JWT. Servers do not use signed responses internally.
    if carried.signed_credential {
        return Err("a signed response, whose code cannot be replaced");
    }
    Ok(Plan::Pass)
}

/// Whether the response type yields a code. A request without a response type is refused in enforce mode; in report mode the
/// server decides what it means.
fn may_have_code(record: &PendingAuthorization) -> bool {
    let asked = record.application.response_type.as_deref();
    asked.is_none_or(|asked| ResponseType::parse(asked).yields_code())
}

/// The kind of token that a sign-in may not have, because it did not ask for it, or its client may not. `None`: it may have both.
pub(crate) fn unasked_tokens(record: &PendingAuthorization, rule: &Rule) -> Option<Credential> {
    let asked = record
        .application
        .response_type
        .as_deref()
        .unwrap_or_default();
    let may_ask = rule.response_types.contains(&ResponseType::parse(asked));
    let asked_for = |word: &str| may_ask && asked.split(' ').any(|asked| asked == word);
    match (asked_for("token"), asked_for("id_token")) {
        (true, true) => None,
        (true, false) => Some(Credential::IdToken),
        (false, true) => Some(Credential::AccessToken),
        (false, false) => Some(Credential::Token),
    }
}

fn may_have_tokens(carried: &Carried, record: &PendingAuthorization, rule: &Rule) -> bool {
    match unasked_tokens(record, rule) {
        None => true,
        Some(Credential::IdToken) => !carried.id_token,
        Some(Credential::AccessToken) => !carried.access_token,
        Some(Credential::Token | Credential::Code) => !carried.has_tokens(),
    }
}

#[cfg(test)]
mod tests;
