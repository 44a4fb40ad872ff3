//! Judging an answer of the upstream's: may what it carries leave, and what has to happen to it first.
//!
//! Pure. The gateway finds the carriers of an answer ([`crate::answer::carrier`]), asks the store whose sign-in each belongs to, and puts
//! it here as [`Facts`]. In this order; the first rule that fails is the verdict:
//!
//! 1. One answer belongs to one sign-in.
//! 2. What belongs to none carries no code and no token to a client. Within the server itself a code is its own affair; a token
//!    is not, where it stands as in an authorization response.
//! 3. A sign-in's credentials go to its redirect URI and nowhere else, and only in answer to its own client.
//! 4. A token leaves only if the sign-in asked for it, with a response type that its client may use.
//! 5. Nothing is replaced in a signed response, nor in a part that cannot be read.
//! 6. There is one code, asked for, under its exact name, of a length that servers have a use for, beside no error, and it did not
//!    come with the request: what a client could have put there is none that the server has issued.
//! 7. The browser is the one that began, where that is asked for.

use crate::answer::carrier::Carried;
use crate::answer::carrier::beacon::Credential;
use crate::flow::PendingAuthorization;
use crate::oauth::ResponseType;
use crate::policy::Rule;

/// Why an answer is refused that comes to another browser.
pub(crate) const OTHER_BROWSER: &str = "a sign-in that was begun in another browser";

/// The sign-in that a carrier belongs to.
#[derive(Debug, Clone, Copy)]
pub(crate) enum SignIn<'a> {
    /// It names none.
    None,
    /// It names several.
    Several,
    /// It names one that is over, or cannot be trusted.
    Dead,
    /// It names one of several that cannot be told apart, because nothing may be changed to tell them
    /// (`mode = "report"`, `codes = "upstream"`).
    Uncertain,
    /// It names this one.
    Live(&'a PendingAuthorization),
}

/// Where a carrier leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leads {
    /// To the redirect URI of the sign-in.
    ToClient,
    /// Away from the server and from the gate.
    Away,
    /// To the server itself.
    Home,
}

/// What is known of a carrier.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts<'a> {
    /// What it carries.
    pub carried: &'a Carried,
    /// Whose.
    pub sign_in: SignIn<'a>,
    /// Where to.
    pub leads: Leads,
    /// Whether its code may have come with the request.
    pub came_along: bool,
    /// Whether it is another browser than the one that began, and that matters.
    pub is_other_browser: bool,
    /// Whether the request was one of another client, whose rule is the stricter one.
    pub is_anothers: bool,
    /// The rule of the sign-in's client; of both the stricter one.
    pub rule: &'a Rule,
}

/// What is done with a carrier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plan {
    /// Nothing: it is none of ours.
    Pass,
    /// What it carries is bound to its sign-in.
    Bind,
    /// Its code is remembered as one of which it cannot be said whose it is.
    Note,
}

/// Why an answer must not go out.
pub(crate) type Unsafe = &'static str;

/// Judges a carrier.
pub(crate) fn judge(facts: &Facts<'_>) -> Result<Plan, Unsafe> {
    let carried = facts.carried;
    let record = match facts.sign_in {
        SignIn::Several => return Err("two sign-ins in one answer"),
        // A refusal is one the second time, too.
        SignIn::Dead
            if (carried.has_credential() || carried.signed) && facts.leads != Leads::Home =>
        {
            return Err("a code for a sign-in that is over");
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
    // A page or a path of the server's own may have a `code` for itself. What looks like an authorization code beside a handle is
    // found by whoever looks at what is left.
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
    if facts.is_anothers && (carried.has_credential() || carried.signed) {
        return Err("a code for a request of another client");
    }
    if carried.has_tokens() && !may_have_tokens(carried, record, facts.rule) {
        return Err("a token that was not asked for");
    }
    if carried.signed {
        return Err("a signed response, whose code cannot be replaced");
    }
    if carried.lookalike {
        return Err("a parameter that some clients take for a code");
    }
    if carried.unread {
        return Err("what may be a code, in a part that cannot be read");
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

/// What belongs to no sign-in.
fn stray(facts: &Facts<'_>) -> Result<Plan, Unsafe> {
    let carried = facts.carried;
    // Servers have parameters of that name for themselves, but no fragment, and none that is described like a token.
    let is_response = carried.in_fragment || carried.token_company;
    let is_token = carried.has_tokens() && (facts.leads != Leads::Home || is_response);
    let is_code = carried.lookalike || carried.unread || !carried.codes.is_empty();
    if is_token || is_code && facts.leads != Leads::Home {
        return Err("a code or token without a live sign-in");
    }
    // The handle that it belongs to is inside of it; no server has something like it for itself.
    if carried.signed_credential {
        return Err("a signed response, whose code cannot be replaced");
    }
    Ok(Plan::Pass)
}

/// A response type that is not there is refused where it is judged; where it is only watched, the server decides.
fn may_have_code(record: &PendingAuthorization) -> bool {
    let asked = record.response_type.as_deref();
    asked.is_none_or(|asked| ResponseType::parse(asked).yields_code())
}

/// The tokens that must not leave for a sign-in, because it did not ask for them or its client may not. `None`: it may have both.
pub(crate) fn unasked_tokens(record: &PendingAuthorization, rule: &Rule) -> Option<Credential> {
    let asked = record.response_type.as_deref().unwrap_or_default();
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
