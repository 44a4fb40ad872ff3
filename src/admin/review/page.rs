//! The review as a page. Its template gets what the document has, and nothing else.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use minijinja::value::Serde;
use minijinja::{Value, context};
use sha2::{Digest as _, Sha256};

use super::codes;
use super::model::{Review, Upstream, Verdict};
use super::section::{section, time};
use super::wanted::Wanted;
use crate::pages::Templates;

const STYLE: &str = include_str!("review.css");

static TEMPLATE: LazyLock<Templates> = LazyLock::new(|| {
    Templates::new(&[
        ("review.html", include_str!("review.html")),
        ("section.html", include_str!("section.html")),
    ])
});

/// The most rows of one page. With names as long as they can be, it has less than 1 MiB.
const ROWS: usize = 90;

/// The most upstreams that one page shows in full. Of more, it has the list.
const SECTIONS: usize = 3;

/// The policy of the page: nothing but its own style.
pub(crate) fn policy() -> HeaderValue {
    static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
        let style = STANDARD.encode(Sha256::digest(STYLE));
        let policy = format!(
            "default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        );
        HeaderValue::try_from(policy)
            .unwrap_or_else(|_| HeaderValue::from_static("default-src 'none'"))
    });
    POLICY.clone()
}

/// The page. `query`: filters and order, as its own links have them.
pub(crate) fn page(review: &Review, query: &str) -> String {
    let wanted = Wanted::read(query);
    let are_several = review.upstreams.len() > 1;
    let name = wanted.upstream.as_deref();
    let mut shown: Vec<_> = review.upstreams.iter().enumerate().collect();
    shown.retain(|(_, upstream)| name.is_none_or(|name| name == upstream.name));
    let is_unknown = shown.is_empty() && name.is_some();
    if shown.len() > SECTIONS {
        shown.clear();
    }
    let rows = ROWS / shown.len().max(1);
    let mut used = BTreeSet::new();
    let sections: Vec<Value> = shown
        .into_iter()
        .map(|(at, upstream)| {
            let wanted = Wanted {
                upstream: are_several.then(|| upstream.name.clone()),
                ..wanted.clone()
            };
            section(upstream, at + 1, &wanted, rows, &mut used)
        })
        .collect();
    let upstreams = review.upstreams.iter().enumerate();
    let upstreams = upstreams.map(|(at, upstream)| listed(upstream, at + 1, &wanted));
    TEMPLATE.render(
        "review.html",
        context! {
            style => STYLE,
            generated => time(&review.generated),
            version => &review.version,
            are_several,
            is_unknown,
            wanted => name,
            everything => Wanted::default().link("upstreams"),
            upstreams => upstreams.collect::<Vec<_>>(),
            sections,
            verdicts => verdicts(),
            codes => used.into_iter().map(|code| Value::from(Serde(code))).collect::<Vec<_>>(),
        },
    )
}

/// A row of the list of upstreams.
fn listed(upstream: &Upstream, number: usize, wanted: &Wanted) -> Value {
    let only = Wanted {
        upstream: Some(upstream.name.clone()),
        ..wanted.with_page(0)
    };
    context! {
        name => &upstream.name,
        link => only.link(&format!("upstream-{number}")),
        is_shown => wanted.upstream.as_ref() == Some(&upstream.name),
        mode => &upstream.mode,
        state => Value::from(Serde(upstream.control.state)),
        state_text => upstream.control.state.to_string(),
        headline => Value::from(Serde(&upstream.headline)),
    }
}

fn verdicts() -> Vec<Value> {
    let all = Verdict::ALL.map(|verdict| {
        context! {
            label => verdict.label(),
            text => verdict.to_string(),
            meaning => codes::meaning(verdict),
        }
    });
    Vec::from(all)
}

#[cfg(test)]
mod tests;
