//! The review as a page. Its template gets what the document has, and nothing else.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use minijinja::context;
use minijinja::value::Serde;
use sha2::{Digest as _, Sha256};

use super::model::{Review, Reviewed, Upstream, Verdict};
use crate::oauth::Params;
use crate::pages::Templates;

const STYLE: &str = include_str!("review.css");

static TEMPLATE: LazyLock<Templates> =
    LazyLock::new(|| Templates::new(&[("review.html", include_str!("review.html"))]));

/// The most rows of one page.
const ROWS: usize = 200;

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

/// What the link asks for.
#[derive(Default)]
struct Wanted {
    upstream: Option<String>,
    verdict: Option<Verdict>,
    sort: Sort,
    page: usize,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Sort {
    #[default]
    Urgent,
    Name,
    SignIns,
    LastSeen,
}

impl Sort {
    const ALL: [(Self, &'static str, &'static str); 4] = [
        (Self::Urgent, "urgent", "urgency"),
        (Self::Name, "name", "name"),
        (Self::SignIns, "sign_ins", "sign-ins"),
        (Self::LastSeen, "last_seen", "last seen"),
    ];
}

impl Wanted {
    /// Unknown parameters and values count for nothing.
    fn read(query: &str) -> Self {
        let mut wanted = Self::default();
        let Ok(params) = Params::survey(query.as_bytes(), 16) else {
            return wanted;
        };
        for pair in params.iter() {
            let value = pair.value();
            match pair.name() {
                "upstream" => wanted.upstream = Some(value.to_owned()),
                "verdict" => {
                    wanted.verdict = Verdict::ALL
                        .into_iter()
                        .find(|known| known.label() == value);
                }
                "sort" => {
                    let found = Sort::ALL.into_iter().find(|(_, label, _)| *label == value);
                    wanted.sort = found.map_or(Sort::Urgent, |(sort, ..)| sort);
                }
                "page" => wanted.page = value.parse().unwrap_or_default(),
                _ => {}
            }
        }
        wanted
    }
}

/// The page. `query`: filters and order, as its own links have them.
pub(crate) fn page(review: &Review, query: &str) -> String {
    let wanted = Wanted::read(query);
    let upstreams: Vec<_> = review
        .upstreams
        .iter()
        .filter(|upstream| {
            wanted
                .upstream
                .as_ref()
                .is_none_or(|name| *name == upstream.name)
        })
        .map(|upstream| shown(upstream, &wanted))
        .collect();
    let sort = Sort::ALL
        .into_iter()
        .find(|(sort, ..)| *sort == wanted.sort);
    TEMPLATE.render(
        "review.html",
        context! {
            style => STYLE,
            generated => &review.generated,
            version => &review.version,
            upstreams,
            verdicts => Verdict::ALL.map(|verdict| context! { label => verdict.label(), text => verdict.to_string() }),
            verdict => wanted.verdict.map(Verdict::label),
            sorts => Sort::ALL.map(|(_, label, text)| context! { label, text }),
            sort => sort.map(|(_, label, _)| label),
        },
    )
}

fn shown(upstream: &Upstream, wanted: &Wanted) -> minijinja::Value {
    let mut clients: Vec<&Reviewed> = upstream
        .clients
        .iter()
        .filter(|client| {
            wanted
                .verdict
                .is_none_or(|verdict| client.verdict == verdict)
        })
        .collect();
    match wanted.sort {
        Sort::Urgent => {}
        Sort::Name => clients.sort_by(|one, other| one.client_id.cmp(&other.client_id)),
        Sort::SignIns => clients.sort_by_key(|client| std::cmp::Reverse(client.sign_ins)),
        Sort::LastSeen => clients.sort_by(|one, other| other.last_seen.cmp(&one.last_seen)),
    }
    let all = clients.len();
    let pages = all.div_ceil(ROWS).max(1);
    let page = wanted.page.min(pages - 1);
    let rows: Vec<_> = clients
        .into_iter()
        .skip(page * ROWS)
        .take(ROWS)
        .map(|client| {
            context! { verdict_text => client.verdict.to_string(), ..minijinja::Value::from(Serde(client)) }
        })
        .collect();
    context! {
        rows,
        bars => bars(upstream),
        all,
        page,
        pages,
        ..minijinja::Value::from(Serde(upstream))
    }
}

/// The bars of the chart: a column for each day, in a box of 600 by 100.
fn bars(upstream: &Upstream) -> Vec<minijinja::Value> {
    const HEIGHT: f32 = 100.0;
    let highest = upstream
        .days
        .iter()
        .map(|day| day.sign_ins.max(day.failing))
        .max();
    let highest = highest.unwrap_or_default().max(1);
    let scaled = |number: u32| (HEIGHT * as_f32(number) / as_f32(highest)).ceil();
    let days = upstream.days.iter().enumerate();
    days.map(|(at, day)| {
        let failing = day.failing.min(day.sign_ins.max(day.failing));
        let good = day.sign_ins.saturating_sub(failing);
        let (of_good, of_failing) = (scaled(good), scaled(failing));
        context! {
            x => at * 20,
            good_y => HEIGHT - of_failing - of_good,
            good => of_good,
            failing_y => HEIGHT - of_failing,
            failing => of_failing,
            day => &day.day,
            sign_ins => day.sign_ins,
            number => day.failing,
        }
    })
    .collect()
}

#[expect(clippy::cast_precision_loss, reason = "for a height in pixels")]
fn as_f32(number: u32) -> f32 {
    number as f32
}
