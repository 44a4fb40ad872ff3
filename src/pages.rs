//! The pages that the gate shows itself: templates, escaped by default, and the one place that fills them in.

use std::sync::LazyLock;

use minijinja::{AutoEscape, Environment, Value, context};

use crate::policy::Violation;
use crate::telemetry::RequestId;

/// The one script that a page of ours has: a form_post response posts itself.
pub(crate) const SUBMIT: &str = "document.forms[0].submit()";

static PAGES: LazyLock<Templates> = LazyLock::new(|| {
    Templates::new(&[
        ("refused.html", include_str!("pages/refused.html")),
        ("form_post.html", include_str!("pages/form_post.html")),
    ])
});

/// Templates whose values are escaped for HTML.
#[derive(Debug)]
pub(crate) struct Templates(Environment<'static>);

impl Templates {
    /// Of these names and texts.
    pub(crate) fn new(templates: &[(&'static str, &'static str)]) -> Self {
        let mut environment = Environment::new();
        environment.set_auto_escape_callback(|_| AutoEscape::Html);
        for (name, text) in templates {
            // A template that does not parse shows as an empty page, which tests would see.
            drop(environment.add_template(name, text));
        }
        Self(environment)
    }

    /// The page of that name with these values.
    pub(crate) fn render(&self, name: &str, values: Value) -> String {
        self.0
            .get_template(name)
            .and_then(|page| page.render(values))
            .unwrap_or_default()
    }
}

/// A request that was refused, for a page that says so.
#[derive(Debug)]
pub(crate) struct Refused<'a> {
    /// Why.
    pub violation: &'a Violation,
    /// The request's own parameters, secrets left out.
    pub request: &'a [(String, String)],
    /// Its name in the log.
    pub id: RequestId,
    /// Seconds after which it may be let through, where it is refused for want of room.
    pub retry_after: Option<u64>,
}

/// The page for a request that cannot be answered with a redirect: one sentence for the user, the rest for the developer.
pub(crate) fn refused(refused: &Refused<'_>) -> String {
    let violation = refused.violation;
    let (title, user) = words_for_users(violation, refused.retry_after);
    let needs_pkce = matches!(
        violation,
        Violation::MissingChallenge
            | Violation::MalformedChallenge(_)
            | Violation::MethodNotAllowed { .. }
            | Violation::UnknownMethod
    );
    let values = context! {
        title, user,
        hint => violation.hint(),
        developer => *violation != Violation::ExpiredSignIn,
        code => violation.label(),
        pkce => needs_pkce,
        request => refused.request.to_vec(),
        id => refused.id.to_string(),
    };
    PAGES.render("refused.html", values)
}

/// A page that posts these parameters to that address by itself.
pub(crate) fn form_post(action: &str, parameters: Vec<(&'static str, String)>) -> String {
    PAGES.render("form_post.html", context! { action, parameters })
}

/// What somebody reads who only wanted to sign in.
fn words_for_users(
    violation: &Violation,
    retry_after: Option<u64>,
) -> (&'static str, &'static str) {
    if *violation == Violation::ExpiredSignIn {
        (
            "This sign-in has expired",
            "Go back to the application and start again.",
        )
    } else if let Some(seconds) = retry_after {
        let when = if seconds <= 60 {
            "Please try again in a minute."
        } else {
            "Please try again in a few minutes."
        };
        ("Signing in is not possible right now", when)
    } else if matches!(violation, Violation::UnboundCodeInResponse(_)) {
        (
            "This page cannot be shown",
            "The server behind it answered with something that must not leave. If it happens again, tell the people who run the \
             application.",
        )
    } else {
        (
            "The application could not start the sign-in",
            "Nothing is wrong with your account. Go back to the application and try again; if it happens again, tell \
             the people who run the application.",
        )
    }
}
