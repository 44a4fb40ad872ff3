//! What real servers do rarely: refusals, and answers that do not come.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::*;

/// A server that answers each command by what `answer` returns for its number. `None`: it closes the connection.
struct Scripted {
    address: String,
    commands: Arc<AtomicUsize>,
}

impl Scripted {
    fn start(answer: impl Fn(usize) -> Option<&'static str> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let commands = Arc::new(AtomicUsize::new(0));
        let (count, answer) = (Arc::clone(&commands), Arc::new(answer));
        thread::spawn(move || {
            for socket in listener.incoming() {
                let (count, answer) = (Arc::clone(&count), Arc::clone(&answer));
                thread::spawn(move || serve(socket.unwrap(), &count, &*answer));
            }
        });
        Self { address, commands }
    }

    fn link(&self) -> Link {
        link(&format!("redis://{}", self.address))
    }

    /// For answers that come: also on a busy machine within the deadline.
    fn patient_link(&self) -> Link {
        let url = format!("redis://{}", self.address);
        Link::new(deployment_within(&url, GENEROUS))
    }

    fn commands(&self) -> usize {
        self.commands.load(Ordering::SeqCst)
    }
}

fn serve(
    mut socket: TcpStream,
    commands: &AtomicUsize,
    answer: &dyn Fn(usize) -> Option<&'static str>,
) {
    let mut bytes = [0; 4096];
    while let Ok(length @ 1..) = socket.read(&mut bytes) {
        // Each command is an array; the tests send no `*` in it.
        for _ in bytes[..length].iter().filter(|byte| **byte == b'*') {
            let Some(answer) = answer(commands.fetch_add(1, Ordering::SeqCst)) else {
                return;
            };
            if socket.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    }
}

#[tokio::test]
async fn a_call_that_may_have_been_carried_out_is_not_repeated() {
    let closes = Scripted::start(|_| None);
    assert_eq!(set(&closes.link(), "k").await, Err(Failed::Unreachable));
    let silent = Scripted::start(|_| Some(""));
    assert_eq!(set(&silent.link(), "k").await, Err(Failed::Deadline));
    let garbage = Scripted::start(|_| Some("?\r\n"));
    assert_eq!(set(&garbage.link(), "k").await, Err(Failed::Garbage));
    sleep(2 * DEADLINE).await;
    for server in [closes, silent, garbage] {
        assert_eq!(server.commands(), 1);
    }
}

#[tokio::test]
async fn several_commands_that_may_have_been_carried_out_are_not_repeated() {
    let commands = [Command::new("GET").key(b"a"), Command::new("GET").key(b"b")];
    let closes = Scripted::start(|number| (number == 0).then_some("+OK\r\n"));
    let sent = closes.link().send_all(&commands).await;
    assert_eq!(sent, Err(Failed::Unreachable));
    let silent = Scripted::start(|_| Some(""));
    assert_eq!(
        silent.link().send_all(&commands).await,
        Err(Failed::Deadline)
    );
    sleep(2 * DEADLINE).await;
    assert_eq!((closes.commands(), silent.commands()), (2, 2));
}

#[tokio::test]
async fn a_call_that_was_certainly_not_carried_out_is_sent_again() {
    for refusal in [
        "-READONLY You can't write against a read only replica.\r\n",
        "-LOADING Redis is loading the dataset in memory\r\n",
        "-MASTERDOWN Link with MASTER is down\r\n",
        "-BUSY Redis is busy running a script.\r\n",
        "-NOREPLICAS Not enough good replicas to write.\r\n",
    ] {
        let server =
            Scripted::start(move |number| Some(if number < 2 { refusal } else { "+OK\r\n" }));
        let link = server.patient_link();
        assert_eq!(set(&link, "k").await, Ok(text("OK")), "{refusal}");
        assert_eq!(server.commands(), 3, "{refusal}");
    }
    let never = Scripted::start(|_| Some("-LOADING Redis is loading the dataset in memory\r\n"));
    let failed = set(&never.link(), "k").await.unwrap_err();
    assert!(failed.is_outage(), "{failed}");
    assert!(never.commands() > 1);
}

#[tokio::test]
async fn a_node_of_a_cluster_is_not_a_single_server() {
    let server = Server::start(&["--cluster-enabled", "yes"]);
    let to_node = Scripted::start(|_| Some("-MOVED 12182 127.0.0.1:1\r\n"));
    let refused = get(&to_node.link(), "foo").await;
    assert!(matches!(&refused, Err(Failed::Refused(text)) if text.contains("redis+cluster")));
    let down = get(&to(&server), "foo").await;
    assert!(down.is_err_and(|failed| failed.is_outage()), "CLUSTERDOWN");
}
