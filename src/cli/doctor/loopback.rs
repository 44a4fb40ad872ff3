//! The redirect URI of a client on this machine (RFC 8252 section 7.3): takes the answers of several sign-ins, and sends the browser
//! from each one to the next.

use std::convert::Infallible;
use std::io;
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use zeroize::Zeroizing;

use super::ask::{decoded, error_code};
use crate::admin::responder;

/// Maximum time to read a request head, and to send the last answers.
const PATIENCE: Duration = Duration::from_secs(5);

/// Pause after a failed accept, probably for lack of descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// A sign-in whose answer is expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) state: String,
    /// The URL of the next sign-in.
    pub(super) next: Option<String>,
}

/// The answer of a sign-in.
pub(super) struct Arrival {
    /// The position of its step.
    pub(super) step: usize,
    /// The code, or the error.
    pub(super) answer: Result<Zeroizing<String>, String>,
    /// The browser waits until this is dropped. A code that is redeemed twice may end a session, and the next sign-in with it.
    pub(super) settled: oneshot::Sender<Over>,
}

/// No further sign-in is of use.
#[derive(Debug)]
pub(super) struct Over;

/// A response, and what it waits for.
struct Later {
    response: Response<String>,
    settled: Option<oneshot::Receiver<Over>>,
}

impl From<Response<String>> for Later {
    fn from(response: Response<String>) -> Self {
        Self {
            response,
            settled: None,
        }
    }
}

/// Listens until it is finished.
pub(super) struct Loopback {
    arrivals: Receiver<Arrival>,
    stop: CancellationToken,
    thread: JoinHandle<()>,
}

impl Loopback {
    /// Listens for requests at that path of the redirect URI.
    pub(super) fn start(listener: TcpListener, path: &str, steps: Vec<Step>) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (tell, arrivals) = sync_channel(steps.len());
        let site = Arc::new(Site {
            path: path.to_owned(),
            open: Mutex::new(vec![true; steps.len()]),
            steps,
            tell,
        });
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let thread = std::thread::Builder::new()
            .name("loopback".to_owned())
            .spawn(move || {
                runtime.block_on(serve(listener, site, stopped));
            })?;
        Ok(Self {
            arrivals,
            stop,
            thread,
        })
    }

    /// Waits for the next answer.
    pub(super) fn next(&self, patience: Duration) -> Result<Arrival, RecvTimeoutError> {
        self.arrivals.recv_timeout(patience)
    }

    /// Sends the last answers, and stops.
    pub(super) fn finish(self) {
        self.stop.cancel();
        // A panic there has been printed.
        let _panicked = self.thread.join();
    }
}

async fn serve(listener: TcpListener, site: Arc<Site>, stop: CancellationToken) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else {
        return;
    };
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        let Ok((socket, _)) = accepted else {
            sleep(PAUSE).await;
            continue;
        };
        let site = Arc::clone(&site);
        let service = service_fn(move |request: Request<Incoming>| {
            let Later { response, settled } = site.answer(request.method(), request.uri());
            async move {
                let over = match settled {
                    Some(settled) => settled.await.ok(),
                    None => None,
                };
                Ok::<_, Infallible>(match over {
                    Some(Over) => page(StatusCode::OK, "It is over; the terminal says why."),
                    None => response,
                })
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(PATIENCE)
            .keep_alive(false)
            .serve_connection(TokioIo::new(socket), service);
        connections.spawn(connection);
    }
    connections.close();
    let _late = timeout(PATIENCE, connections.wait()).await;
}

struct Site {
    path: String,
    steps: Vec<Step>,
    /// Which steps have no answer yet.
    open: Mutex<Vec<bool>>,
    tell: SyncSender<Arrival>,
}

impl Site {
    /// Only a request with the state of a sign-in counts, and only once: other pages can send the browser here, too.
    fn answer(&self, method: &Method, uri: &http::Uri) -> Later {
        if method != Method::GET {
            return page(StatusCode::METHOD_NOT_ALLOWED, "Only GET is answered here.").into();
        }
        let pairs = decoded(uri.query().unwrap_or_default());
        let value = |name: &str| {
            let found = pairs.iter().find(|(known, _)| known == name);
            found.map(|(_, value)| value.as_str())
        };
        let (step, answer) = if uri.path() == self.path {
            let answer = match (value("code"), value("error")) {
                (_, Some(error)) => Err(format!("the error {}", error_code(error))),
                (Some(code), None) => Ok(Zeroizing::new(code.to_owned())),
                (None, None) => {
                    return page(StatusCode::BAD_REQUEST, "No code and no error.").into();
                }
            };
            let mut steps = self.steps.iter();
            let state = value("state");
            (
                steps.position(|step| Some(step.state.as_str()) == state),
                answer,
            )
        } else if let Some(state) = uri.path().strip_prefix(REFUSED) {
            let first = self.steps.first();
            let is_known = first.is_some_and(|first| first.state == state);
            let step = self.current().filter(|_| is_known);
            (step, Err("an error page".to_owned()))
        } else {
            return page(StatusCode::NOT_FOUND, "Nothing is here.").into();
        };
        let Some(step) = step.filter(|step| self.close(*step)) else {
            return page(
                StatusCode::BAD_REQUEST,
                "No sign-in with this state is expected.",
            )
            .into();
        };
        let (settled, wait) = oneshot::channel();
        let arrival = Arrival {
            step,
            answer,
            settled,
        };
        match self.tell.try_send(arrival) {
            Ok(()) => Later {
                response: self.onward(step),
                settled: Some(wait),
            },
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                page(StatusCode::SERVICE_UNAVAILABLE, "It is over.").into()
            }
        }
    }

    /// The first step without an answer.
    fn current(&self) -> Option<usize> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.iter().position(|open| *open)
    }

    /// Marks a step as answered. Returns whether it was open.
    fn close(&self, step: usize) -> bool {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let place = open.get_mut(step);
        place.is_some_and(|place| std::mem::replace(place, false))
    }

    fn onward(&self, step: usize) -> Response<String> {
        let next = self.steps.get(step).and_then(|step| step.next.as_ref());
        let next = next.and_then(|next| HeaderValue::try_from(next).ok());
        let Some(next) = next else {
            return page(
                StatusCode::OK,
                "That was the last sign-in. You can close this page.",
            );
        };
        let mut response = page(StatusCode::SEE_OTHER, "On to the next sign-in.");
        response.headers_mut().insert(header::LOCATION, next);
        response
    }
}

/// Below this path, with the state of the first step behind it, the user reports that the current step ended on an error page.
pub(super) const REFUSED: &str = "/refused/";

fn page(status: StatusCode, text: &str) -> Response<String> {
    responder::plain(status, format!("pkce-gate doctor: {text}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site() -> (Site, Receiver<Arrival>) {
        let (tell, arrivals) = sync_channel(2);
        let step = |state: &str, next: Option<&str>| Step {
            state: state.to_owned(),
            next: next.map(str::to_owned),
        };
        let steps = vec![
            step("one", Some("https://login.example/authorize?2")),
            step("two", None),
        ];
        let open = Mutex::new(vec![true; 2]);
        let path = "/cb".to_owned();
        let site = Site {
            path,
            steps,
            open,
            tell,
        };
        (site, arrivals)
    }

    fn get(site: &Site, target: &str) -> (u16, Option<String>) {
        let answer = site.answer(&Method::GET, &target.parse().unwrap()).response;
        let location = answer.headers().get(header::LOCATION);
        let location = location.map(|it| it.to_str().unwrap().to_owned());
        (answer.status().as_u16(), location)
    }

    #[test]
    fn each_sign_in_is_answered_once_and_leads_to_the_next() {
        let (site, arrivals) = site();
        let next = Some("https://login.example/authorize?2".to_owned());
        assert_eq!(get(&site, "/cb?code=c%201&state=one"), (303, next));
        assert_eq!(
            get(&site, "/cb?code=c2&state=one"),
            (400, None),
            "once only"
        );
        assert_eq!(
            get(&site, "/cb?error=access_denied&state=two&code=x"),
            (200, None)
        );
        let first = arrivals.try_recv().unwrap();
        assert_eq!((first.step, first.answer.unwrap().as_str()), (0, "c 1"));
        let second = arrivals.try_recv().unwrap();
        assert_eq!(
            (second.step, second.answer.unwrap_err().as_str()),
            (1, "the error access_denied")
        );
        assert!(arrivals.try_recv().is_err());
    }

    #[test]
    fn requests_without_the_state_of_a_sign_in_change_nothing() {
        let (site, arrivals) = site();
        for (target, status) in [
            ("/cb?code=c", 400),
            ("/cb?code=c&state=three", 400),
            ("/cb?state=one", 400),
            ("/?code=c&state=one", 404),
            ("/refused/three", 400),
        ] {
            assert_eq!(get(&site, target), (status, None), "{target}");
        }
        let post = site.answer(&Method::POST, &"/cb?code=c&state=one".parse().unwrap());
        assert_eq!(post.response.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert!(arrivals.try_recv().is_err());
        assert_eq!(get(&site, "/cb?code=c&state=one").0, 303);
        assert_eq!(arrivals.try_recv().unwrap().step, 0);
        assert_eq!(get(&site, "/refused/two"), (400, None));
        assert_eq!(get(&site, "/refused/one"), (200, None));
        let told = arrivals.try_recv().unwrap();
        assert_eq!(
            (told.step, told.answer.unwrap_err().as_str()),
            (1, "an error page")
        );
    }
}
