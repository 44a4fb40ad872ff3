//! Name resolution with the system's resolver, which blocks a thread until it answers.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

/// Maximum number of concurrent lookups. A name server that does not answer blocks each thread until the resolver gives
/// up, even if the request has ended meanwhile; without a limit every further request would block another thread.
const AT_A_TIME: usize = 16;

/// Limits the lookups of one upstream. A request that waits for its turn does so within its own time limit, and without
/// a thread.
#[derive(Debug, Clone)]
pub(super) struct Lookups(Arc<Semaphore>);

impl Lookups {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(AT_A_TIME)))
    }

    /// The addresses of a host, which is a name or an IP address.
    pub(super) async fn of(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let host = host.to_owned();
        self.in_turn(move || Ok((host.as_str(), port).to_socket_addrs()?.collect()))
            .await
    }

    async fn in_turn<T: Send + 'static>(
        &self,
        ask: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let turn = Arc::clone(&self.0).acquire_owned().await;
        let turn = turn.map_err(io::Error::other)?;
        let answer = spawn_blocking(move || {
            let _turn = turn; // held until the thread has finished
            ask()
        });
        answer.await.map_err(io::Error::other)?
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
    }

    #[test]
    fn hanging_lookups_block_a_limited_number_of_threads() {
        let lookups = Lookups::new();
        let runtime = runtime();
        let (tell, told) = channel();
        let (end, ended) = channel::<()>();
        let ended = Arc::new(std::sync::Mutex::new(ended));
        for _ in 0..AT_A_TIME {
            let (tell, ended) = (tell.clone(), Arc::clone(&ended));
            let hangs = lookups.in_turn(move || {
                tell.send(()).ok();
                ended.lock().unwrap().recv().map_err(io::Error::other)
            });
            // The lookup is started, and the request given up at once.
            runtime.block_on(async {
                tokio::select! {
                    biased;
                    _ = hangs => panic!("it must hang"),
                    () = std::future::ready(()) => {}
                }
            });
        }
        for _ in 0..AT_A_TIME {
            told.recv().unwrap();
        }
        assert_eq!(lookups.0.available_permits(), 0, "each blocks a thread");
        let next = lookups.in_turn(|| Ok("an answer"));
        runtime.block_on(async {
            tokio::pin!(next);
            tokio::select! {
                biased;
                _ = &mut next => panic!("it must wait for its turn"),
                () = std::future::ready(()) => {}
            }
            // The resolver gives up on all lookups.
            drop(end);
            assert_eq!(next.await.unwrap(), "an answer");
        });
    }

    #[test]
    fn an_address_is_not_looked_up() {
        let lookups = Lookups::new();
        lookups.0.close();
        for host in ["127.0.0.1", "::1"] {
            let found = runtime().block_on(lookups.of(host, 80)).unwrap();
            assert_eq!(found, [SocketAddr::new(host.parse().unwrap(), 80)]);
        }
        assert!(runtime().block_on(lookups.of("localhost", 80)).is_err());
    }

    #[test]
    fn a_name_is_looked_up() {
        let found = runtime()
            .block_on(Lookups::new().of("localhost", 80))
            .unwrap();
        assert!(found.iter().all(|address| address.ip().is_loopback()));
        assert!(!found.is_empty());
    }
}
