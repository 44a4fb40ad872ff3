//! What the metadata of a server says about it (RFC 8414, OpenID Connect Discovery). It is foreign input: every value is checked
//! as the configuration would check it, and a value that the gate cannot use is told.

use serde_json::{Map, Value};
use url::Url;

use super::shown::shown;
use crate::config::accepts;
use crate::oauth::{json, well_known};
use crate::route::fold::merge_slashes;

/// The keys of `[upstream.endpoints]`, each with its member in metadata.
pub(super) const KINDS: [(&str, &str); 6] = [
    ("authorization", "authorization_endpoint"),
    ("token", "token_endpoint"),
    (
        "pushed_authorization_request",
        "pushed_authorization_request_endpoint",
    ),
    ("device_authorization", "device_authorization_endpoint"),
    (
        "authorization_challenge",
        "authorization_challenge_endpoint",
    ),
    ("registration", "registration_endpoint"),
];

/// The longest URL that is read.
const LONGEST_URL: usize = 2000;
/// The most elements of a list that are read.
const MOST: usize = 40;

/// A document, and the path at which it was found.
#[derive(Debug, Clone)]
pub(super) struct Document {
    pub(super) path: String,
    pub(super) members: Map<String, Value>,
}

impl Document {
    /// `None`: it is not server metadata.
    pub(super) fn parse(path: &str, bytes: &[u8]) -> Option<Self> {
        let Value::Object(members) = json::parse(bytes)? else {
            return None;
        };
        let is_metadata = KINDS
            .iter()
            .take(2)
            .any(|(_, member)| members.get(*member).is_some_and(Value::is_string));
        is_metadata.then(|| Self {
            path: path.to_owned(),
            members,
        })
    }

    fn text(&self, member: &str) -> Option<&str> {
        self.members.get(member)?.as_str()
    }

    /// The strings of a list that the gate accepts.
    fn listed(&self, member: &str, accepts: fn(&str) -> Result<(), String>) -> Vec<String> {
        let list = self.members.get(member).and_then(Value::as_array);
        let texts = list.into_iter().flatten().filter_map(Value::as_str);
        let good = texts.filter(|text| accepts(text).is_ok()).take(MOST);
        good.map(str::to_owned).collect()
    }
}

/// Where an endpoint was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// In the metadata at these paths.
    Metadata(Vec<String>),
    /// By asking the paths of common servers; with what each answered.
    Guess(Vec<String>),
}

/// What is known about a server.
#[derive(Debug, Clone)]
pub(super) struct Learned {
    pub(super) source: Source,
    pub(super) issuer: Option<String>,
    /// The paths of each kind of [`KINDS`], in its order.
    pub(super) endpoints: [Vec<String>; 6],
    /// The names of query parameters in the URLs of endpoints.
    pub(super) query: Vec<String>,
    pub(super) response_types: Vec<String>,
    pub(super) response_modes: Vec<String>,
    /// The challenge methods in the metadata; `None`: there is no metadata.
    pub(super) methods: Option<Vec<String>>,
    /// Paths of other endpoints.
    pub(super) others: Vec<String>,
    /// What the operator has to know, safe to show.
    pub(super) notes: Vec<String>,
}

/// Why no configuration can be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error(
        "the metadata has no {0}\nhelp: the gate stands between an authorization and a token endpoint. Write the file by hand if \
         the server has both"
    )]
    Missing(&'static str),
    #[error(
        "the {0} is at another host: {1}\nhelp: the authorization and the token endpoint have to be behind one gate. If both are \
         there, run init with --from for that host; else let one proxy serve both hosts' paths, and write its address as url"
    )]
    Elsewhere(&'static str, String),
    #[error(
        "the {0} {1} cannot be guarded: {2}\nhelp: write the file by hand, with the paths that the server really has"
    )]
    Unusable(&'static str, String, String),
}

/// What a URL in metadata means for the gate.
enum Place {
    Own { path: String, query: Vec<String> },
    Elsewhere,
    Unusable(String),
}

/// Reads the documents of a server. The first one decides; others count if they are of the same issuer.
pub(super) fn learn(upstream: &Url, documents: &[Document]) -> Result<Learned, Refusal> {
    let Some(first) = documents.first() else {
        return Err(Refusal::Missing("authorization_endpoint"));
    };
    let named = first.text("issuer");
    let is_same = |document: &&Document| document.text("issuer") == named;
    let (same, others): (Vec<_>, Vec<_>) = documents.iter().partition(is_same);
    let mut notes: Vec<String> = others.iter().map(|other| other_issuer(other)).collect();
    let issuer = named.and_then(|issuer| match accepts::issuer(issuer) {
        Ok(()) if issuer.len() <= LONGEST_URL => Some(issuer.to_owned()),
        Ok(()) => None,
        Err(why) => {
            let (issuer, why) = (shown(issuer), shown(&why));
            notes.push(format!("the issuer {issuer} is not usable: {why}"));
            None
        }
    });
    let mut learned = Learned {
        source: Source::Metadata(same.iter().map(|it| it.path.clone()).collect()),
        endpoints: Default::default(),
        query: Vec::new(),
        response_types: union(&same, "response_types_supported", accepts::response_type),
        response_modes: union(&same, "response_modes_supported", accepts::response_mode),
        methods: Some(first.listed("code_challenge_methods_supported", method)),
        others: Vec::new(),
        notes,
        issuer,
    };
    let reader = Reader::new(upstream, learned.issuer.as_deref());
    for ((_, member), at) in KINDS.iter().zip(0_usize..) {
        let paths = reader.endpoint(&same, member, at < 2, &mut learned)?;
        if let Some(endpoints) = learned.endpoints.get_mut(at) {
            *endpoints = paths;
        }
    }
    learned.others = reader.others(&same, &learned.endpoints);
    Ok(learned)
}

fn other_issuer(document: &Document) -> String {
    let issuer = document.text("issuer").unwrap_or("no name");
    format!(
        "{} describes another issuer ({}), which this file does not cover",
        document.path,
        shown(issuer)
    )
}

fn union(
    documents: &[&Document],
    member: &str,
    accepts: fn(&str) -> Result<(), String>,
) -> Vec<String> {
    let mut all = Vec::new();
    for text in documents.iter().flat_map(|it| it.listed(member, accepts)) {
        if !all.contains(&text) {
            all.push(text);
        }
    }
    all
}

fn method(text: &str) -> Result<(), String> {
    match text {
        "S256" | "plain" => Ok(()),
        _ => Err(String::new()),
    }
}

/// Decides which URLs are at the server.
struct Reader {
    /// The origins of the upstream and of its issuer.
    own: Vec<url::Origin>,
}

impl Reader {
    fn new(upstream: &Url, issuer: Option<&str>) -> Self {
        let issuer = issuer.and_then(|issuer| Url::parse(issuer).ok());
        let own = std::iter::once(upstream.clone()).chain(issuer);
        Self {
            own: own.map(|url| url.origin()).collect(),
        }
    }

    /// The paths of an endpoint in all documents. Of an endpoint that is not `needed`, problems are notes.
    fn endpoint(
        &self,
        documents: &[&Document],
        member: &'static str,
        needed: bool,
        learned: &mut Learned,
    ) -> Result<Vec<String>, Refusal> {
        let mut paths = Vec::new();
        for url in documents.iter().flat_map(|it| urls(it, member)) {
            let refusal = match self.place(url) {
                Place::Own { path, query } => {
                    if !paths.contains(&path) {
                        paths.push(path);
                    }
                    let query = query.into_iter();
                    let new: Vec<_> = query.filter(|it| !learned.query.contains(it)).collect();
                    learned.query.extend(new);
                    continue;
                }
                Place::Elsewhere => Refusal::Elsewhere(member, shown(url)),
                Place::Unusable(why) => Refusal::Unusable(member, shown(url), shown(&why)),
            };
            learned.notes.push(note(&refusal, url));
            if needed && paths.is_empty() {
                return Err(refusal);
            }
        }
        if needed && paths.is_empty() {
            return Err(Refusal::Missing(member));
        }
        Ok(paths)
    }

    /// The paths of other endpoints at the server, for a list of routes.
    fn others(&self, documents: &[&Document], endpoints: &[Vec<String>; 6]) -> Vec<String> {
        let mut paths: Vec<String> = Vec::new();
        let members = documents.iter().flat_map(|document| &document.members);
        let is_endpoint = |name: &str| {
            name.ends_with("_endpoint") || name == "jwks_uri" || name == "check_session_iframe"
        };
        for (_, url) in members.filter(|(name, _)| is_endpoint(name)) {
            if let Some(Place::Own { path, .. }) = url.as_str().map(|url| self.place(url))
                && !endpoints.iter().flatten().any(|known| *known == path)
                && !paths.contains(&path)
                && paths.len() < MOST
            {
                paths.push(path);
            }
        }
        paths
    }

    fn place(&self, text: &str) -> Place {
        if text.len() > LONGEST_URL {
            return Place::Unusable("the URL is too long".to_owned());
        }
        let url = match Url::parse(text) {
            Ok(url) if ["http", "https"].contains(&url.scheme()) => url,
            Ok(_) => return Place::Unusable("it is neither http nor https".to_owned()),
            Err(error) => return Place::Unusable(error.to_string()),
        };
        if !self.own.iter().any(|own| is_one(own, &url.origin())) {
            return Place::Elsewhere;
        }
        if url.fragment().is_some() {
            return Place::Unusable("it has a fragment (RFC 6749 section 3.1)".to_owned());
        }
        // Some servers advertise `//token`; the gate merges slashes in requests.
        let path = merge_slashes(url.path());
        if let Err(why) = accepts::path(&path) {
            return Place::Unusable(why);
        }
        let mut query = Vec::new();
        let pairs = url.query().unwrap_or_default().split('&');
        for name in pairs.filter_map(|pair| pair.split('=').next()) {
            if name.is_empty() {
                continue;
            }
            if let Err(why) = accepts::query_name(name) {
                return Place::Unusable(format!("the parameter {name} in its query: {why}"));
            }
            query.push(name.to_owned());
        }
        Place::Own { path, query }
    }
}

/// Whether both are the same server: equal, or one host at the default ports of http and https, which a server behind a TLS
/// terminator confuses.
fn is_one(own: &url::Origin, other: &url::Origin) -> bool {
    let place = |origin: &url::Origin| match origin {
        url::Origin::Tuple(scheme, host, port) => {
            let is_default =
                (scheme == "https" && *port == 443) || (scheme == "http" && *port == 80);
            Some((host.clone(), (!is_default).then_some(*port)))
        }
        url::Origin::Opaque(_) => None,
    };
    own == other || place(own).is_some() && place(own) == place(other)
}

/// The URLs of an endpoint in a document: its own, and the one for clients with certificates (RFC 8705 section 5).
fn urls<'d>(document: &'d Document, member: &str) -> Vec<&'d str> {
    let aliases = document.members.get("mtls_endpoint_aliases");
    let alias = aliases.and_then(|aliases| aliases.get(member)?.as_str());
    document.text(member).into_iter().chain(alias).collect()
}

fn note(refusal: &Refusal, url: &str) -> String {
    let url = shown(url);
    match refusal {
        Refusal::Missing(member) => format!("the metadata has no {member}"),
        Refusal::Elsewhere(member, _) => format!(
            "the {member} {url} is at another host, so it does not pass through this gate: put a gate in front of that host as well"
        ),
        Refusal::Unusable(member, _, why) => {
            format!("the {member} {url} is not in this file: {why}")
        }
    }
}

/// The paths at which metadata of an issuer with this path may be, the most specific first.
pub(super) fn places(issuer_path: &str) -> Vec<String> {
    let path = issuer_path.trim_end_matches('/');
    // The URL of a document, instead of an issuer.
    let path = well_known::issuer_path(path).unwrap_or(path);
    let (mut openid, oauth) = (
        well_known::paths(well_known::OPENID, path),
        well_known::paths(well_known::OAUTH, path),
    );
    // Appended first, as OpenID Connect Discovery has it.
    openid.reverse();
    let roots = [well_known::OPENID, well_known::OAUTH].map(str::to_owned);
    let mut places = Vec::new();
    for place in openid.into_iter().chain(oauth).chain(roots) {
        if !places.contains(&place) {
            places.push(place);
        }
    }
    places
}

#[cfg(test)]
mod tests;
