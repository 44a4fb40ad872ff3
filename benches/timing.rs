//! Measures whether the time of a refusal reveals its reason: `cargo bench --bench timing`.
//!
//! Sends four kinds of refused token requests, of the same length, in random order over one connection to the real program: a
//! code that was never issued, an expired one, a burnt one, and a live one with a wrong verifier. Prints the median of each
//! kind, and its difference from the first kind: the probability that a request takes longer (0.5: one measurement reveals
//! nothing), and the number of requests that would tell the two apart with 95 % confidence. No test asserts a time: the numbers
//! are for readers and for the threat model.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::similar_names,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a bench reports rounded numbers, and stops at the first surprise"
)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Requests of each kind.
const ROUNDS: usize = 5_000;
/// Wrong verifiers that a code survives: the maximum that can be configured, so that few codes are needed.
const ATTEMPTS: usize = 100;
/// The lifetime of codes: longer than the measurement.
const LIFETIME: Duration = Duration::from_secs(20);

const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const WRONG: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const KINDS: [&str; 4] = ["unknown", "expired", "burnt", "wrong verifier"];

fn main() {
    let upstream = upstream();
    let directory = std::env::temp_dir().join(format!("pkce-gate-timing-{}", std::process::id()));
    std::fs::create_dir(&directory).unwrap();
    let mut gates = Vec::new();
    let mut gate = |name: &str| {
        let (gate, address) = start(&directory, name, &upstream);
        gates.push(gate);
        address
    };
    // A code of another gate with the same upstream name: well-formed, but never issued here.
    let (gate_address, other_address) = (gate("measured"), gate("other"));
    let unknown = code(&mut Client::connect(&other_address));
    let mut client = Client::connect(&gate_address);
    let expired = code(&mut client);
    println!("waiting {LIFETIME:?} for a code to expire");
    thread::sleep(LIFETIME);
    let burnt = code(&mut client);
    for _ in 0..ATTEMPTS {
        client.redeem(&burnt);
    }
    let live: Vec<_> = (0..=ROUNDS / (ATTEMPTS - 1))
        .map(|_| code(&mut client))
        .collect();
    let mut times: [Vec<u64>; KINDS.len()] = Default::default();
    let mut answers = Vec::new();
    let mut order = 1u64;
    while times.iter().any(|times| times.len() < ROUNDS) {
        order ^= order << 13;
        order ^= order >> 7;
        order ^= order << 17;
        let kind = usize::try_from(order % 4).unwrap();
        if times[kind].len() == ROUNDS {
            continue;
        }
        let code = match kind {
            0 => &unknown,
            1 => &expired,
            2 => &burnt,
            _ => &live[times[kind].len() / (ATTEMPTS - 1)],
        };
        let start = Instant::now();
        let answer = client.redeem(code);
        times[kind].push(u64::try_from(start.elapsed().as_nanos()).unwrap());
        if !answers.contains(&answer) {
            answers.push(answer);
        }
    }
    for gate in &mut gates {
        gate.kill().unwrap();
        gate.wait().unwrap();
    }
    std::fs::remove_dir_all(&directory).unwrap();
    assert_eq!(answers.len(), 1, "one answer for all: {answers:#?}");
    report(times);
}

fn report(mut times: [Vec<u64>; KINDS.len()]) {
    for times in &mut times {
        times.sort_unstable();
    }
    println!(
        "\n| refused because | median | P(longer than unknown) | requests to tell it from unknown |"
    );
    println!("|---|---|---|---|");
    for (kind, of_kind) in KINDS.iter().zip(&times) {
        let median = of_kind[of_kind.len() / 2] as f64 / 1000.0;
        let longer = probability_of_longer(of_kind, &times[0]);
        // The Mann-Whitney statistic of two samples of n is normal with a deviation of sqrt(1 / 6n) around 0.5.
        let enough = 1.96f64.powi(2) / (6.0 * (longer - 0.5).powi(2));
        let enough = if enough > 1e6 {
            "> 1,000,000".to_owned()
        } else {
            format!("{enough:.0}")
        };
        println!("| {kind} | {median:.1} us | {longer:.4} | {enough} |");
    }
    let noise = 1.96 / (6.0 * ROUNDS as f64).sqrt();
    println!("\nwithin 0.5 +- {noise:.4} nothing was seen with {ROUNDS} requests of each kind");
}

/// Both slices are sorted.
fn probability_of_longer(these: &[u64], those: &[u64]) -> f64 {
    let halves: usize = these
        .iter()
        .map(|time| {
            let shorter = those.partition_point(|other| other < time);
            let not_longer = those.partition_point(|other| other <= time);
            shorter + not_longer
        })
        .sum();
    halves as f64 / 2.0 / (these.len() * those.len()) as f64
}

/// Redirects every request back with a code.
fn upstream() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            thread::spawn(move || serve(stream.unwrap(), number));
        }
    });
    address
}

fn serve(stream: TcpStream, connection: usize) {
    let mut requests = BufReader::new(stream.try_clone().unwrap());
    let mut stream = stream;
    for number in 0.. {
        let mut line = String::new();
        if requests.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        let state = line.split("state=").nth(1).unwrap();
        let state = state.split(['&', ' ']).next().unwrap().to_owned();
        while line != "\r\n" {
            line.clear();
            requests.read_line(&mut line).unwrap();
        }
        let answer = format!(
            "HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\
             Location: https://c.test/cb?code=upstream-{connection}-{number}&state={state}\r\n\r\n"
        );
        stream.write_all(answer.as_bytes()).unwrap();
    }
}

/// Starts the gate in front of the upstream, and returns its address.
fn start(directory: &std::path::Path, name: &str, upstream: &str) -> (Child, String) {
    let port = |listener: TcpListener| listener.local_addr().unwrap().to_string();
    let free = || port(TcpListener::bind("127.0.0.1:0").unwrap());
    let (address, admin) = (free(), free());
    let config = format!(
        "[server]\nlisten = [\"{address}\"]\nworkers = 1\n[admin]\nlisten = \"{admin}\"\n\
         [store]\ncode = \"{}s\"\nattempts = {ATTEMPTS}\nnetwork_rate = 1000000\n[log]\nlevel = \"error\"\n\
         [[upstream]]\nname = \"u\"\nurl = \"http://{upstream}\"\npublic_url = \"http://{address}\"\n\
         [upstream.endpoints]\nauthorization = [\"/authorize\"]\ntoken = [\"/token\"]\n\
         [upstream.pkce]\nentry = \"rewrite\"\n",
        LIFETIME.as_secs()
    );
    let file = directory.join(format!("{name}.toml"));
    std::fs::write(&file, config).unwrap();
    let gate = Command::new(env!("CARGO_BIN_EXE_pkce-gate"))
        .arg("run")
        .arg("--config")
        .arg(&file)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while TcpStream::connect(&address).is_err() {
        thread::sleep(Duration::from_millis(20));
    }
    (gate, address)
}

/// One connection.
struct Client {
    stream: TcpStream,
    host: String,
}

impl Client {
    fn connect(address: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            host: address.to_owned(),
        }
    }

    /// The answer without `Date`.
    fn send(&mut self, request: &str) -> String {
        self.stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            let read = self.stream.read(&mut buffer).unwrap();
            assert!(read > 0, "closed after {}", answer.escape_ascii());
            answer.extend_from_slice(&buffer[..read]);
            let text = String::from_utf8_lossy(&answer);
            let Some((head, body)) = text.split_once("\r\n\r\n") else {
                continue;
            };
            let length = head.split("content-length: ").nth(1).unwrap();
            let length: usize = length.split("\r\n").next().unwrap().parse().unwrap();
            if body.len() == length {
                let lines = text.split("\r\n").filter(|line| !line.starts_with("date:"));
                return lines.collect::<Vec<_>>().join("\n");
            }
        }
    }

    fn redeem(&mut self, code: &str) -> String {
        let form = format!(
            "grant_type=authorization_code&client_id=c&redirect_uri=https%3A%2F%2Fc.test%2Fcb&code={code}&code_verifier={WRONG}"
        );
        let request = format!(
            "POST /token HTTP/1.1\r\nHost: {}\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             Content-Length: {}\r\n\r\n{form}",
            self.host,
            form.len()
        );
        self.send(&request)
    }
}

/// The code of a new sign-in.
fn code(client: &mut Client) -> String {
    let answer = client.send(&format!(
        "GET /authorize?response_type=code&client_id=c&redirect_uri=https%3A%2F%2Fc.test%2Fcb&state=s\
         &code_challenge={CHALLENGE}&code_challenge_method=S256 HTTP/1.1\r\nHost: {}\r\n\r\n",
        client.host
    ));
    let code = answer.split("code=").nth(1).unwrap();
    code.split(['&', '\n']).next().unwrap().to_owned()
}
