//! What a link of the page asks for. The page has no scripts, so every view of it is a link.

use url::form_urlencoded::Serializer;

use super::model::Verdict;
use crate::oauth::Params;

/// The most parameters of a link.
const MOST: usize = 16;

/// A view of the page.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Only this upstream.
    pub(super) upstream: Option<String>,
    /// Only clients with this verdict.
    pub(super) verdict: Option<Verdict>,
    pub(super) sort: Sort,
    /// The page of the rows, from 0.
    pub(super) page: usize,
}

/// The order of the rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Sort {
    #[default]
    Urgent,
    Name,
    SignIns,
    LastSeen,
}

impl Sort {
    pub(super) const ALL: [Self; 4] = [Self::Urgent, Self::Name, Self::SignIns, Self::LastSeen];

    const fn label(self) -> &'static str {
        self.names().0
    }

    /// As the page says it.
    pub(super) const fn text(self) -> &'static str {
        self.names().1
    }

    const fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Urgent => ("urgent", "urgency"),
            Self::Name => ("name", "name"),
            Self::SignIns => ("sign_ins", "sign-ins"),
            Self::LastSeen => ("last_seen", "last seen"),
        }
    }
}

impl Wanted {
    /// Reads a query. Unknown parameters and values count for nothing.
    pub(super) fn read(query: &str) -> Self {
        let mut wanted = Self::default();
        let Ok(params) = Params::survey(query.as_bytes(), MOST) else {
            return wanted;
        };
        for pair in params.iter() {
            let value = pair.value();
            match pair.name() {
                "upstream" => wanted.upstream = Some(value.to_owned()),
                "verdict" => {
                    let mut all = Verdict::ALL.into_iter();
                    wanted.verdict = all.find(|known| known.label() == value);
                }
                "sort" => {
                    let mut all = Sort::ALL.into_iter();
                    let known = all.find(|known| known.label() == value);
                    wanted.sort = known.unwrap_or_default();
                }
                "page" => wanted.page = value.parse().unwrap_or_default(),
                _ => {}
            }
        }
        wanted
    }

    /// The same with another filter, from the first page on.
    pub(super) fn with_verdict(&self, verdict: Option<Verdict>) -> Self {
        Self {
            verdict,
            page: 0,
            ..self.clone()
        }
    }

    /// The same in another order, from the first page on.
    pub(super) fn with_sort(&self, sort: Sort) -> Self {
        Self {
            sort,
            page: 0,
            ..self.clone()
        }
    }

    /// Another page of the same rows.
    pub(super) fn with_page(&self, page: usize) -> Self {
        Self {
            page,
            ..self.clone()
        }
    }

    /// The link to this view, at an element of the page.
    pub(super) fn link(&self, element: &str) -> String {
        let mut query = Serializer::new(String::new());
        if let Some(upstream) = &self.upstream {
            query.append_pair("upstream", upstream);
        }
        if let Some(verdict) = self.verdict {
            query.append_pair("verdict", verdict.label());
        }
        if self.sort != Sort::default() {
            query.append_pair("sort", self.sort.label());
        }
        if self.page > 0 {
            query.append_pair("page", &self.page.to_string());
        }
        format!("/review?{}#{element}", query.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_leads_to_the_view_that_it_is_made_of() {
        let named = |upstream: &str| Wanted {
            upstream: Some(upstream.to_owned()),
            verdict: Some(Verdict::CouldBeRequired),
            sort: Sort::LastSeen,
            page: 3,
        };
        for wanted in [Wanted::default(), named("a"), named("a&b=c d#e/ü%")] {
            let link = wanted.link("clients-1");
            let query = link.strip_prefix("/review?").unwrap();
            let (query, element) = query.split_once('#').unwrap();
            assert_eq!(Wanted::read(query), wanted);
            assert_eq!(element, "clients-1");
        }
        let other = named("a").with_verdict(None).with_sort(Sort::Name);
        assert_eq!((other.page, other.upstream.as_deref()), (0, Some("a")));
    }

    #[test]
    fn what_no_link_has_counts_for_nothing() {
        let odd = "verdict=%00&page=-1&sort=%FF&page=99999999999999999999999&x";
        assert_eq!(Wanted::read(odd), Wanted::default());
    }
}
