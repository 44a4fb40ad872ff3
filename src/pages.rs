//! The HTML pages of the gate, made from templates that escape their values.

use std::sync::LazyLock;

use minijinja::{AutoEscape, Environment, Value, context};

use crate::policy::{Hint, Violation};
use crate::telemetry::RequestId;

/// The script of a form_post response, which submits its form. No other page has a script.
pub(crate) const SUBMIT: &str = "document.forms[0].submit()";

static PAGES: LazyLock<Templates> = LazyLock::new(|| {
    Templates::new(&[
        ("refused.html", include_str!("pages/refused.html")),
        ("form_post.html", include_str!("pages/form_post.html")),
    ])
});

/// The libraries for which a page shows how to sign in with PKCE, and the code. Tests run each file.
const SNIPPETS: [(&str, &str); 5] = [
    (
        "openid-client (Node.js)",
        include_str!("pages/snippets/openid-client.mjs"),
    ),
    (
        "oauth4webapi (JavaScript)",
        include_str!("pages/snippets/oauth4webapi.mjs"),
    ),
    (
        "oidc-client-ts (browser)",
        include_str!("pages/snippets/oidc-client-ts.mjs"),
    ),
    (
        "Authlib (Python)",
        include_str!("pages/snippets/authlib.py"),
    ),
    (
        "golang.org/x/oauth2 (Go)",
        include_str!("pages/snippets/x_oauth2.go"),
    ),
];

/// Templates whose values are escaped for HTML.
#[derive(Debug)]
pub(crate) struct Templates(Environment<'static>);

impl Templates {
    /// From names and texts.
    pub(crate) fn new(templates: &[(&'static str, &'static str)]) -> Self {
        let mut environment = Environment::new();
        environment.set_auto_escape_callback(|_| AutoEscape::Html);
        for (name, text) in templates {
            // A template that does not parse renders as an empty page, which fails tests.
            drop(environment.add_template(name, text));
        }
        Self(environment)
    }

    /// Renders a template.
    pub(crate) fn render(&self, name: &str, values: Value) -> String {
        self.0
            .get_template(name)
            .and_then(|page| page.render(values))
            .unwrap_or_default()
    }
}

/// The content of the page for a refused request.
#[derive(Debug)]
pub(crate) struct Refused<'a> {
    pub violation: &'a Violation,
    pub hint: Option<Hint>,
    /// The required parameters that are missing.
    pub missing: Vec<&'static str>,
    /// The parameters of the request, without secrets.
    pub request: Vec<(String, String)>,
    /// The id of the request in the log.
    pub id: RequestId,
}

/// The page for a request that cannot be answered with a redirect: a sentence for the user, details for the developer.
/// `retry_after`: seconds until the request may succeed, if the store has no room or failed.
pub(crate) fn refused(refused: &Refused<'_>, retry_after: Option<u64>) -> String {
    let violation = refused.violation;
    let (title, user) = for_user(violation, retry_after);
    let needs_pkce = matches!(
        violation,
        Violation::MissingChallenge
            | Violation::MalformedChallenge(_)
            | Violation::MethodNotAllowed { .. }
            | Violation::UnknownMethod
    );
    let values = context! {
        title, user,
        what => violation.to_string(),
        developer => *violation != Violation::ExpiredSignIn,
        code => violation.label(),
        hint => refused.hint.map(|hint| context! { code => hint.code(), sentence => hint.sentence() }),
        missing => &refused.missing,
        snippets => needs_pkce.then_some(SNIPPETS),
        request => &refused.request,
        id => refused.id.to_string(),
    };
    PAGES.render("refused.html", values)
}

/// A page that submits these parameters to the URL `action` (OAuth 2.0 Form Post Response Mode).
pub(crate) fn form_post(action: &str, parameters: Vec<(&'static str, String)>) -> String {
    PAGES.render("form_post.html", context! { action, parameters })
}

/// The title and the sentence for the user.
fn for_user(violation: &Violation, retry_after: Option<u64>) -> (&'static str, &'static str) {
    if *violation == Violation::ExpiredSignIn {
        (
            "This sign-in has expired",
            "Go back to the application and start again.",
        )
    } else if *violation == Violation::StateLost {
        (
            "This sign-in cannot be completed in this browser",
            "Allow cookies for this site. Then go back to the application and start again, in the same browser and in one tab.",
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
            "The server's answer could not be delivered safely. If this happens again, tell the people who run the application.",
        )
    } else {
        (
            "The application could not start the sign-in",
            "Nothing is wrong with your account. Go back to the application and try again; if it happens again, tell \
             the people who run the application.",
        )
    }
}
