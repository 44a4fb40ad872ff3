//! Asks the server: for its metadata, and if it has none, at the paths of common servers.

use http::header;
use rand::TryRng as _;
use rand::rngs::SysRng;
use url::Url;

use super::guess::{self, AUTHORIZATION, Hit, Sign, TOKEN};
use crate::cli::fetch::{Answer, Ask, Failed, Fetch};
use crate::cli::learned::{Document, Learned, Refusal, Source, learn, places};
use crate::cli::shown::shown;
use crate::cli::terminal::complain;

/// How many redirects to the server itself are followed.
const HOPS: usize = 3;

/// Why nothing was learned.
#[derive(Debug, thiserror::Error)]
pub(super) enum Nothing {
    #[error("cannot ask {origin}: {why}{help}")]
    Unreachable {
        origin: String,
        why: Failed,
        help: &'static str,
    },
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(
        "{origin} has no metadata, and none of {asked} common paths answers as {what} does{hint}\nhelp: look for the paths in the \
         manual of the server, and write the file by hand"
    )]
    NotFound {
        origin: String,
        asked: usize,
        what: &'static str,
        hint: String,
    },
}

/// Asks for everything that can be learned about the server at this URL.
pub(super) fn discover(fetch: &Fetch, from: &Url) -> Result<Learned, Nothing> {
    let mut server = Server {
        fetch,
        asked: Vec::new(),
        elsewhere: None,
    };
    let documents = server.documents(from.path())?;
    if !documents.is_empty() {
        return Ok(learn(from, &documents)?);
    }
    complain("it has no metadata; asking the paths of common servers");
    server.guessed(from)
}

struct Server<'f> {
    fetch: &'f Fetch,
    /// The places of metadata that were asked.
    asked: Vec<String>,
    /// The other origin to which it redirected.
    elsewhere: Option<String>,
}

impl Server<'_> {
    fn url(&self, path: &str) -> Option<Url> {
        Url::parse(self.fetch.origin()).ok()?.join(path).ok()
    }

    /// Sends a request. `None`: this one failed, others may succeed.
    fn ask(&self, ask: &Ask<'_>) -> Result<Option<Answer>, Nothing> {
        let origin = self.fetch.origin();
        complain(&format!("asking {origin}{}", shown(ask.target)));
        match self.fetch.send(ask) {
            Ok(answer) => Ok(Some(answer)),
            Err(why) if why.is_of_server() => {
                let is_tls = matches!(why, Failed::Tls(_));
                let help =
                    "\nhelp: if it has a certificate of a private CA, name its file with --ca";
                Err(Nothing::Unreachable {
                    origin: origin.to_owned(),
                    help: if is_tls { help } else { "" },
                    why,
                })
            }
            Err(why) => {
                complain(&format!("  {}", shown(&why.to_string())));
                Ok(None)
            }
        }
    }

    /// The metadata documents of the server.
    fn documents(&mut self, path: &str) -> Result<Vec<Document>, Nothing> {
        let mut documents = Vec::new();
        for place in places(path) {
            if self.asked.contains(&place) {
                continue;
            }
            self.asked.push(place.clone());
            let mut target = place.clone();
            for _ in 0..=HOPS {
                let mut ask = Ask::get(&target);
                ask.headers = vec![(header::ACCEPT, "application/json")];
                let Some(answer) = self.ask(&ask)? else {
                    break;
                };
                if let Some(next) = self.redirect(&answer, &target) {
                    target = next;
                    continue;
                }
                if answer.status == http::StatusCode::OK {
                    // Clients get it at the path that they ask for.
                    documents.extend(Document::parse(&place, &answer.body));
                }
                break;
            }
        }
        Ok(documents)
    }

    /// The path to which the server redirects within itself. Another origin is remembered, and not followed.
    fn redirect(&mut self, answer: &Answer, target: &str) -> Option<String> {
        let asked = self.url(target)?;
        let next = answer.location(&asked)?;
        if next.origin() == asked.origin() {
            let query = next.query().map(|query| format!("?{query}"));
            return Some(format!("{}{}", next.path(), query.unwrap_or_default()));
        }
        let origin = next.origin().ascii_serialization();
        complain(&format!(
            "  it redirects to {}, which is not followed",
            shown(&origin)
        ));
        self.elsewhere = Some(origin);
        None
    }

    /// Asks common paths, below the path of the issuer first.
    fn guessed(&mut self, from: &Url) -> Result<Learned, Nothing> {
        let base = from.path().trim_end_matches('/');
        let authorization = self.hits(base, &AUTHORIZATION, "GET")?;
        // Some servers have their metadata beside it.
        let beside = authorization.first().map(|hit| guess::folder(&hit.path));
        let beside = beside.filter(|folder| ![base, ""].contains(&folder.trim_end_matches('/')));
        if let Some(folder) = beside {
            let documents = self.documents(folder)?;
            if !documents.is_empty() {
                return Ok(learn(from, &documents)?);
            }
        }
        let token = self.hits(base, &TOKEN, "POST")?;
        let asked = AUTHORIZATION.len() + TOKEN.len();
        for (hits, what) in [
            (&authorization, "an authorization endpoint"),
            (&token, "a token endpoint"),
        ] {
            if hits.is_empty() {
                let elsewhere = self.elsewhere.as_ref();
                let hint = elsewhere.map(|origin| format!("; it redirects to {}", shown(origin)));
                return Err(Nothing::NotFound {
                    origin: self.fetch.origin().to_owned(),
                    asked,
                    what,
                    hint: hint.unwrap_or_default(),
                });
            }
        }
        let said = authorization.iter().map(|hit| said("GET", hit));
        let said = said.chain(token.iter().map(|hit| self::said("POST", hit)));
        let paths = |hits: &[Hit]| hits.iter().map(|hit| hit.path.clone()).collect();
        let mut endpoints: [Vec<String>; 6] = Default::default();
        let [first, second, ..] = &mut endpoints;
        (*first, *second) = (paths(&authorization), paths(&token));
        Ok(Learned {
            source: Source::Guess(said.collect()),
            issuer: None,
            endpoints,
            query: Vec::new(),
            response_types: Vec::new(),
            response_modes: Vec::new(),
            methods: None,
            others: Vec::new(),
            notes: Vec::new(),
        })
    }

    fn hits(&mut self, base: &str, paths: &[&str], method: &str) -> Result<Vec<Hit>, Nothing> {
        let bases = if base.is_empty() {
            vec![""]
        } else {
            vec![base, ""]
        };
        let mut hits = Vec::new();
        for base in bases {
            for path in paths {
                let path = format!("{base}{path}");
                let is_new =
                    |hit: &Hit| hit.path.trim_end_matches('/') != path.trim_end_matches('/');
                // Many servers ignore a slash at the end.
                if hits.iter().all(is_new) {
                    hits.extend(self.hit(&path, method)?);
                }
            }
            if !hits.is_empty() {
                break;
            }
        }
        Ok(guess::best(hits))
    }

    fn hit(&mut self, path: &str, method: &str) -> Result<Option<Hit>, Nothing> {
        let Some((sign, status)) = self.sign(path, method)? else {
            return Ok(None);
        };
        if sign == Sign::Nothing {
            return Ok(None);
        }
        let beside = format!("{}{}", guess::folder(path), random());
        let same = self.sign(&beside, method)?;
        if same.is_none_or(|(beside, _)| beside >= sign) {
            complain("  paths that do not exist answer likewise, so that tells nothing");
            return Ok(None);
        }
        let path = path.to_owned();
        Ok(Some(Hit { path, status, sign }))
    }

    fn sign(&mut self, path: &str, method: &str) -> Result<Option<(Sign, u16)>, Nothing> {
        let mut ask = match method {
            "POST" => Ask::form(path, String::new()),
            _ => Ask::get(path),
        };
        let accepts = match method {
            "POST" => "application/json",
            _ => "text/html, application/json;q=0.9, */*;q=0.1",
        };
        ask.headers.push((header::ACCEPT, accepts));
        let (Some(answer), Some(asked)) = (self.ask(&ask)?, self.url(path)) else {
            return Ok(None);
        };
        let sign = match method {
            "POST" => guess::of_token(&answer),
            _ => guess::of_authorization(&answer, &asked),
        };
        if let Some(target) = answer.location(&asked)
            && target.path() == asked.path()
            && target.origin() != asked.origin()
        {
            self.elsewhere = Some(target.origin().ascii_serialization());
        }
        Ok(Some((sign, answer.status.as_u16())))
    }
}

fn said(method: &str, hit: &Hit) -> String {
    let how = match hit.sign {
        Sign::Speaks => "an error of OAuth",
        Sign::Answers | Sign::Nothing => "which other servers could answer, too",
    };
    format!("{method} {}: {}, {how}", hit.path, hit.status)
}

/// The name of a path that no server has.
fn random() -> String {
    let mut bytes = [0; 8];
    // A name that can be foreseen does no harm.
    let _filled = SysRng.try_fill_bytes(&mut bytes);
    format!("pkce-gate-{:016x}", u64::from_be_bytes(bytes))
}
